"""Which video provider an installation uses."""

from api.config import Settings
from api.video.daily import Daily
from api.video.jitsi import Jitsi
from api.video.provider import VideoProvider


def provider(settings: Settings) -> VideoProvider:
    """The installation's provider: one for the process, shared by its threads."""
    return Jitsi(settings) if settings.video_provider == "jitsi" else Daily(settings)
