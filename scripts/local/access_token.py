"""Print an access token for one of the local stack's people, for curl."""

import argparse
import sys

import httpx

from scripts.local import LOCAL


def main() -> int:
    """Ask the running stack's sign-in for a token."""
    parser = argparse.ArgumentParser(
        prog="make token EMAIL=...",
        description=__doc__,
        epilog="The stack must be running: make run",
    )
    parser.add_argument("email", help="who, such as ada@example.org")
    arguments = parser.parse_args()
    address = LOCAL / "run" / "api-url"
    if not address.exists():
        print("The local stack has not run yet: make run", file=sys.stderr)
        return 1
    try:
        response = httpx.post(
            f"{address.read_text()}/sign-in/token", json={"email": arguments.email}, timeout=10
        )
    except httpx.TransportError:
        print("The local stack does not answer: make run", file=sys.stderr)
        return 1
    body = response.json()
    if response.status_code != 200:
        print(f"{body['error']}: {arguments.email}. make run lists the people", file=sys.stderr)
        return 1
    print(body["access_token"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
