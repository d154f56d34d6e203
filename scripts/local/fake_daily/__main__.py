"""Run the stand-in: `python -m scripts.local.fake_daily`."""

import argparse
from collections.abc import Sequence

from scripts.local.fake_daily.app import bind


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted, on 127.0.0.1 only."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.local.fake_daily",
        description="A stand-in for Daily.co on this machine: its REST API under /v1, and for each "
        "room a page with a working video call between two people. Set DAILY_API_URL to its "
        "address with /v1, and DAILY_API_KEY to its key.",
    )
    parser.add_argument("--port", type=int, default=8701, help="0 takes any free one (%(default)s)")
    parser.add_argument(
        "--api-key", default="daily-stand-in-key-for-this-machine-only", help="(%(default)s)"
    )
    parser.add_argument("--domain", default="stand-in", help="(%(default)s)")
    parser.add_argument("--limits", action="store_true", help="answer 429 as often as Daily would")
    given = parser.parse_args(arguments)
    server, base_url = bind(given.api_key, given.domain, given.port, given.limits)
    print(f"Daily stand-in at {base_url}, its API at {base_url}/v1", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
