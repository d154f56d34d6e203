"""Show what docs/scaling.md claims beyond one machine, each claim by a command."""

from scripts.commands import LazyGroup

main = LazyGroup(
    help=__doc__,
    modules={
        "balancer": "scripts.lab.availability.balancer",
        "pooling": "scripts.lab.availability.pooling",
        "failover": "scripts.lab.availability.failover",
        "replica": "scripts.lab.availability.replica",
    },
)
