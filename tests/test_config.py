"""Settings: what the environment must say, and one message for all that it says wrong."""

import os
import subprocess
import sys

import pytest

from api.config import ConfigurationError, load_settings
from scripts.local import ROOT

GOOD = {
    "SUPABASE_URL": "https://project.supabase.co/",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
}


def test_two_variables_are_enough_and_the_others_follow_from_them() -> None:
    settings = load_settings(GOOD)
    assert settings.rest_url == "https://project.supabase.co/rest/v1"
    assert settings.jwks_url == "https://project.supabase.co/auth/v1/.well-known/jwks.json"
    assert settings.jwt_issuer == "https://project.supabase.co/auth/v1"
    assert settings.daily_api_url == "https://api.daily.co/v1"
    assert settings.daily_api_key is None
    assert settings.port == 8000


def test_the_older_names_of_the_keys_are_understood() -> None:
    settings = load_settings({"SUPABASE_URL": GOOD["SUPABASE_URL"], "SUPABASE_ANON_KEY": "old"})
    assert settings.publishable_key == "old"


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            {
                "SUPABASE_URL": "project.supabase.co",
                "SUPABASE_JWT_SECRET": "short",
                "SUPABASE_JWKS_URL": "https://project.supabase.co/keys",
                "DAILY_API_URL": "ftp://daily",
                "PORT": "http",
                "REFUSE_ANONYMOUS": "maybe",
                "THERAPIST_AAL": "2",
                "RATE_LIMIT": "often",
                "RATE_LIMIT_STORAGE_URL": "memcached://x",
                "METRICS_TOKEN": "short",
            }
        )
    for name in (
        "SUPABASE_URL is not",
        "SUPABASE_PUBLISHABLE_KEY is missing",
        "SUPABASE_JWT_SECRET is shorter",
        "are both set",
        "DAILY_API_URL is not",
        "PORT is not",
        "REFUSE_ANONYMOUS is neither",
        "THERAPIST_AAL is not",
        "RATE_LIMIT is neither",
        "RATE_LIMIT_STORAGE_URL is not",
        "METRICS_TOKEN is shorter",
    ):
        assert name in str(caught.value)


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "app.example.org",
        "https://app.example.org/",
        "https://app.example.org/path",
        "https://*.example.org",
        "https://App.example.org",
        "https://app.example.org:443",
        "http://app.example.org:80",
        "https://user@app.example.org",
        "https://",
        "https://[::1]:3000",
        "ftp://app.example.org",
        "https://a.example.org https://b.example.org",
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="ALLOWED_ORIGINS has"):
        load_settings({**GOOD, "ALLOWED_ORIGINS": f"https://good.example.org,{origin}"})


def test_origins_are_a_list_and_off_by_default() -> None:
    listed = load_settings(
        {**GOOD, "ALLOWED_ORIGINS": "https://app.example.org, http://localhost:3000,"}
    )
    assert listed.allowed_origins == ("https://app.example.org", "http://localhost:3000")
    assert load_settings(GOOD).allowed_origins == ()


def test_settings_do_not_print_their_secrets() -> None:
    settings = load_settings({**GOOD, "SUPABASE_JWT_SECRET": "s" * 40, "DAILY_API_KEY": "k" * 40})
    assert "s" * 40 not in repr(settings)
    assert "k" * 40 not in repr(settings)


def test_a_wrong_environment_stops_the_server_with_one_message_and_no_trace() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SUPABASE_URL": "", "PORT": "none"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert "The API cannot start" in ended.stderr
    assert "SUPABASE_URL is missing" in ended.stderr
    assert "PORT is not a port number" in ended.stderr
    assert "Traceback" not in ended.stderr
