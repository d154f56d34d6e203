"""Settings: what the environment must have, and one message for all of its mistakes."""

import subprocess

import pytest

from api.config import ConfigurationError, load_settings
from scripts import ROOT
from scripts.local import api_server, free_port
from scripts.local.processes import environment

GOOD = {
    "SUPABASE_URL": "https://project.supabase.co/",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
}


def test_two_variables_are_enough() -> None:
    settings = load_settings(GOOD)
    assert settings.rest_url == "https://project.supabase.co/rest/v1"
    assert settings.jwks_url == "https://project.supabase.co/auth/v1/.well-known/jwks.json"
    assert settings.jwt_issuer == "https://project.supabase.co/auth/v1"
    assert settings.daily_api_url == "https://api.daily.co/v1"
    assert settings.video_provider == "daily"
    assert settings.daily_api_key is None
    assert settings.port == 8000


def test_the_older_names_of_the_keys_are_understood() -> None:
    settings = load_settings({"SUPABASE_URL": GOOD["SUPABASE_URL"], "SUPABASE_ANON_KEY": "old"})
    assert settings.publishable_key == "old"
    settings = load_settings({**GOOD, "SUPABASE_SERVICE_ROLE_KEY": "older"})
    assert settings.secret_key == "older"


def test_one_message_lists_every_mistake() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(
            {
                "SUPABASE_URL": "project.supabase.co",
                "SUPABASE_JWT_SECRET": "short",
                "SUPABASE_JWKS_URL": "https://project.supabase.co/keys",
                "DAILY_API_URL": "ftp://daily",
                "DAILY_WEBHOOK_SECRET": "not base64!",
                "VIDEO_PROVIDER": "pigeons",
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
        "DAILY_WEBHOOK_SECRET is not",
        "VIDEO_PROVIDER is neither",
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


def test_allowed_origins_are_a_list_and_empty_by_default() -> None:
    listed = load_settings(
        {**GOOD, "ALLOWED_ORIGINS": "https://app.example.org, http://localhost:3000,"}
    )
    assert listed.allowed_origins == ("https://app.example.org", "http://localhost:3000")
    assert load_settings(GOOD).allowed_origins == ()


def test_settings_do_not_print_their_secrets() -> None:
    secrets = {
        name: letter * 40
        for name, letter in {
            "SUPABASE_JWT_SECRET": "s",
            "SUPABASE_SECRET_KEY": "p",
            "DAILY_API_KEY": "k",
            "DAILY_WEBHOOK_SECRET": "w",
            "JITSI_APP_SECRET": "j",
        }.items()
    }
    printed = repr(load_settings({**GOOD, **secrets}))
    assert not [secret for secret in secrets.values() if secret[:8] in printed]


def test_jitsi_needs_an_address_and_a_long_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings({**GOOD, "VIDEO_PROVIDER": "jitsi", "JITSI_APP_SECRET": "x" * 31})
    assert "JITSI_URL is missing" in str(caught.value)
    assert "JITSI_APP_SECRET is not 32 characters" in str(caught.value)


@pytest.mark.parametrize("secret", ["c2hvcnQ=", "bm90IGJhc2U2NCBhdCBhbGw", "===="])
def test_a_webhook_secret_that_is_short_or_cut_off_is_refused(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="DAILY_WEBHOOK_SECRET"):
        load_settings({**GOOD, "DAILY_WEBHOOK_SECRET": secret})


def test_a_wrong_environment_stops_the_server_with_one_message_and_no_trace() -> None:
    ended = subprocess.run(
        api_server.command(free_port()),
        cwd=ROOT,
        env=environment(SUPABASE_URL="", PORT="none"),
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
