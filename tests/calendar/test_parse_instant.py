"""Moments come in ISO 8601 with an offset; whatever else Postgres would take is none."""

from datetime import UTC, datetime

import pytest

from tests.actors import Connection


def parsed(db: Connection, text: str | None) -> datetime | None:
    """Return the moment that a text names."""
    [row] = db.execute("select session_approval.parse_instant(%s) as at", (text,)).fetchall()
    at: datetime | None = row["at"]
    return at


@pytest.mark.parametrize("server_zone", ["UTC", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "text",
    [
        "2030-01-31T10:00:00Z",
        "2030-01-31T10:00:00.000Z",
        "2030-01-31t10:00:00z",
        "2030-01-31T10:00Z",
        "2030-01-31 10:00:00+00",
        "2030-01-31T12:00:00+02:00",
        "2030-01-31T12:00:00+0200",
        "2030-01-31T12:00:00,000+02",
        "2030-01-31T04:30:00-05:30",
        "2030-02-01T00:00:00.000000+14:00",
    ],
)
def test_a_moment_with_an_offset_does_not_depend_on_the_connections_zone(
    db: Connection, text: str, server_zone: str
) -> None:
    db.execute("select set_config('timezone', %s, true)", (server_zone,))

    assert parsed(db, text) == datetime(2030, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "2030-01-31T10:00:00",
        "2030-01-31 10:00",
        "2030-01-31",
        "2030-01-31Z",
        "10:00Z",
        "tomorrow",
        "tomorrow 10:00+00",
        "now",
        "today",
        "yesterday",
        "epoch",
        "infinity",
        "-infinity",
        "1893492000",
        "20300131T100000Z",
        "2030-01-31T10:00:00 UTC",
        "2030-01-31T10:00:00 Europe/London",
        "2030-01-31T10:00:00Z\n",
        " 2030-01-31T10:00:00Z",
        "2030-01-31T10:00:00Z tomorrow",
        "Thu 31 Jan 10:00:00 2030 UTC",
        "2030-01-31T10:00:00Z BC",
        "2030-02-30T10:00:00Z",
        "2030-13-01T10:00:00Z",
        "2030-01-31T25:00:00Z",
        "2030-01-31T10:61:00Z",
        "2030-01-31T10:00:00+99:00",
        "2030-01-31T10:00:00+01:00:00",
        "0000-01-31T10:00:00Z",
        "99999-01-31T10:00:00Z",
    ],
)
def test_a_text_that_is_not_a_moment_with_an_offset_gives_null(
    db: Connection, text: str | None
) -> None:
    assert parsed(db, text) is None
