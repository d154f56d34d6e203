"""Prove what the documentation claims: measurements, and runs under faults."""

from scripts.commands import LazyGroup

main = LazyGroup(
    help=__doc__,
    modules={
        "bench": "scripts.lab.bench",
        "torture": "scripts.lab.torture.command",
        "availability": "scripts.lab.availability",
    },
)
