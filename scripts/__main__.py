"""The one command for everything around the product."""

import sys

from scripts.commands import LazyGroup

main = LazyGroup(
    help="Everything around the product. COMMAND --help says more about each.",
    modules={
        "apply": "scripts.operate.apply",
        "bundle": "scripts.operate.bundle",
        "credits": "scripts.operate.credits",
        "doctor": "scripts.operate.doctor",
        "rooms": "scripts.operate.rooms",
        "sweep": "scripts.operate.sweep",
        "run": "scripts.local.run",
        "token": "scripts.local.tokens",
        "reset": "scripts.local.reset",
        "fake-daily": "scripts.local.fake_daily.command",
        "contract": "scripts.develop.contract",
        "screens": "scripts.develop.screens",
        "servers": "scripts.develop.servers",
        "browser": "scripts.develop.browser",
        "audit": "scripts.develop.audit",
        "lab": "scripts.lab",
    },
)


@main.result_callback()
def end(status: int | None) -> None:
    """End with the exit status that the command returned."""
    sys.exit(status or 0)


if __name__ == "__main__":
    main()
