"""Run a stand-in for Daily.co: its REST API under /v1, and rooms for two people."""

import sys

import click

from scripts.local.fake_daily.app import bind


@click.command(
    help=f"{__doc__} The page of a room has a working video call. Set DAILY_API_URL to the"
    " stand-in's address with /v1, and DAILY_API_KEY to its key."
)
@click.option("--port", type=int, default=8701, show_default=True, help="0 takes any free one.")
@click.option("--api-key", default="daily-stand-in-key-for-this-machine-only", show_default=True)
@click.option("--domain", default="stand-in", show_default=True)
@click.option("--limits", is_flag=True, help="Answer 429 as often as Daily would.")
def main(port: int, api_key: str, domain: str, limits: bool) -> None:
    """Serve until interrupted, on 127.0.0.1 only."""
    server, base_url = bind(api_key, domain, port, limits)
    print(f"Daily stand-in at {base_url}, its API at {base_url}/v1", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


def command_line(port: int, api_key: str, domain: str = "stand-in") -> list[str]:
    """Return the command that runs it as a process."""
    return [
        *(sys.executable, "-m", "scripts", "fake-daily", "--port", str(port)),
        *("--api-key", api_key, "--domain", domain),
    ]
