"""The choice of a video provider."""

from flask import Flask

from api.config import Settings
from api.video.daily import Daily
from api.video.jitsi import Jitsi
from api.video.provider import VideoProvider


def provider(settings: Settings) -> VideoProvider:
    """Return the installation's provider; all threads of the process share it."""
    return Jitsi(settings) if settings.video_provider == "jitsi" else Daily(settings)


def register(app: Flask, settings: Settings) -> None:
    """Give the application its provider."""
    app.extensions["video"] = provider(settings)
