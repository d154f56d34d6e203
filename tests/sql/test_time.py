"""Local time: what clocks on the wall show becomes one instant, whatever the server's own zone."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from tests.people import Connection, Person, propose

ZONES = [
    "Africa/Lagos",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Dublin",
    "Europe/London",
    "Pacific/Apia",
    "UTC",
]


@cache
def transitions(zone: ZoneInfo) -> list[datetime]:
    """Return the instants of 2026 to 2028 at which the zone's clocks are changed."""
    found = []
    for day in range(3 * 365 + 1):
        start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
        halves = [start + timedelta(minutes=30 * n) for n in range(49)]
        offsets = [instant.astimezone(zone).utcoffset() for instant in (start, halves[-1])]
        if offsets[0] != offsets[1]:
            found += [at for at in halves if at.astimezone(zone).utcoffset() == offsets[1]][:1]
    return found


def instants_showing(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every instant at which the zone's clocks show a local time, by trying them all."""
    guess = local.replace(tzinfo=UTC) - timedelta(hours=15)
    return [
        instant
        for instant in (guess + timedelta(minutes=15 * step) for step in range(30 * 4))
        if instant.astimezone(zone).replace(tzinfo=None) == local
    ]


@pytest.mark.parametrize("name", ZONES)
@pytest.mark.parametrize("server_zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_every_quarter_of_an_hour_around_every_change_of_clocks_resolves_as_it_should(
    db: Connection, name: str, server_zone: str
) -> None:
    zone = ZoneInfo(name)
    db.execute("select set_config('timezone', %s, true)", (server_zone,))
    around = transitions(zone) or [datetime(2026, 7, 1, 12, tzinfo=UTC)]
    local_times = sorted(
        {
            (instant.astimezone(zone).replace(tzinfo=None) + timedelta(minutes=15 * step))
            for instant in around
            for step in range(-12, 13)
        }
    )

    found = db.execute(
        "select t.instant, t.occurs_twice from unnest(%s::timestamp[]) with ordinality l (local, n)"
        " cross join lateral session_approval.local_time_to_instant(l.local, %s) t order by l.n",
        (local_times, name),
    ).fetchall()

    answers = [(answer["instant"], answer["occurs_twice"]) for answer in found]
    expected = []
    for local in local_times:
        instants = instants_showing(local, zone)
        expected.append((min(instants, default=None), len(instants) == 2))
    # Compared as UTC: Python calls no two instants of a repeated hour equal across zones.
    assert [(at and at.astimezone(UTC), twice) for at, twice in answers] == expected


def test_the_changes_of_clocks_that_are_tested_are_really_there() -> None:
    assert {name: len(transitions(ZoneInfo(name))) for name in ZONES} == {
        "Africa/Lagos": 0,
        "America/New_York": 6,
        "America/St_Johns": 6,
        "Asia/Kathmandu": 0,
        "Australia/Lord_Howe": 6,
        "Europe/Dublin": 6,
        "Europe/London": 6,
        "Pacific/Apia": 0,
        "UTC": 0,
    }


def test_a_day_that_a_country_left_out_has_no_instant(db: Connection) -> None:
    [found] = db.execute(
        "select * from session_approval.local_time_to_instant('2011-12-30 12:00', 'Pacific/Apia')"
    ).fetchall()

    assert found == {"instant": None, "occurs_twice": False}


@pytest.mark.parametrize("server_zone", ["UTC", "America/New_York", "Asia/Kathmandu"])
def test_a_proposal_by_local_time_does_not_depend_on_the_servers_zone(
    db: Connection, therapist: Person, client: Person, server_zone: str
) -> None:
    db.execute("select set_config('timezone', %s, true)", (server_zone,))

    session = propose(
        db,
        therapist,
        client,
        p_session_date="2030-07-01",
        p_session_time="23:30",
        p_time_zone="Europe/London",
    )

    assert session["start_time"] == datetime(2030, 7, 1, 22, 30, tzinfo=UTC)
    shown = (session["scheduled_date"].isoformat(), session["scheduled_time"].isoformat())
    assert shown == ("2030-07-01", "23:30:00")


@pytest.mark.parametrize(
    ("name", "is_known"),
    [
        ("Europe/London", True),
        ("Africa/Lagos", True),
        ("America/Argentina/Buenos_Aires", True),
        ("Etc/GMT-14", True),
        ("UTC", True),
        ("GMT", True),
        ("Europe/Atlantis", False),
        ("Europe", False),
        ("EST5EDT", False),
        ("Londn5", False),
        ("<+02>-02", False),
        ("+02", False),
        ("", False),
        (" UTC", False),
        ("Europe/London\n", False),
        ("../etc/passwd", False),
        (None, True),
    ],
)
def test_only_names_of_the_time_zone_database_are_time_zones(
    db: Connection, name: str | None, is_known: bool
) -> None:
    [found] = db.execute("select session_approval.is_time_zone(%s) as answer", (name,)).fetchall()

    assert found["answer"] is is_known
