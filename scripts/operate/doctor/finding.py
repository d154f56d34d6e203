"""What make doctor tells: one finding, with why it matters and what to run."""

from dataclasses import dataclass

import psycopg
from psycopg.rows import DictRow

Database = psycopg.Connection[DictRow]


@dataclass(frozen=True)
class Finding:
    """Something to know: how bad it is, what it is, why it matters, what to do."""

    level: str  # ok, warning or error
    what: str
    why: str = ""
    do: str = ""
