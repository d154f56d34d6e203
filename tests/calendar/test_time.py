"""Local time: what clocks on the wall show becomes one instant, whatever the server's own zone."""

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.json import Jsonb

from tests.actors import Connection, Person, Row, act_as, approve, give_credits, propose

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
def transitions(zone: ZoneInfo, year: int = 2026) -> list[datetime]:
    """Return the instants of 2026 to 2028, or other three years, at which clocks are changed."""
    found = []
    for day in range(3 * 365 + 1):
        start = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day)
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
def test_local_times_around_every_clock_change_resolve_correctly(
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


def test_the_tested_time_zones_have_the_expected_clock_changes() -> None:
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


def test_a_day_that_a_country_skipped_has_no_instant(db: Connection) -> None:
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


# What people see: proposals around every change of clocks, on servers in three time zones.

COUNTRIES = [
    "Africa/Lagos",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/London",
]
SERVERS = ["UTC", "America/New_York", "Australia/Lord_Howe"]
ONCE = "Session proposed. Waiting for the client's approval."
TWICE = f"{ONCE} That time occurs twice on that day; the first one was taken."


def to_come(zone: ZoneInfo, now: datetime) -> list[datetime]:
    """Return the changes of clocks still to come; without any, a winter's and a summer's day.

    The past cannot be proposed; until 2028 these are what is left of the years tested above.
    """
    year = 2026 if now.year < 2028 else now.year
    still = [at for at in transitions(zone, year) if at > now + timedelta(days=1)]
    return still or [datetime(now.year + 1, month, 1, 12, tzinfo=UTC) for month in (1, 7)]


def walls(zone: ZoneInfo, now: datetime) -> list[datetime]:
    """Return what the clocks on the wall show around every change, at whole and odd minutes."""
    return sorted(
        {
            at.astimezone(zone).replace(tzinfo=None) + timedelta(minutes=minutes)
            for at in to_come(zone, now)
            for minutes in (-90, -60, -31, -30, -15, -1, 0, 1, 15, 29, 30, 59, 60, 90)
        }
    )


def showing(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every instant at which the zone's clocks show a local time, as zoneinfo has it."""
    either = {local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(at for at in either if at.astimezone(zone).replace(tzinfo=None) == local)


def propose_all(
    db: Connection, therapist: Person, client: Person, proposals: list[dict[str, Any]]
) -> list[Row]:
    """Propose each of these by itself, undone before the next, and return what was said."""
    db.execute(
        """
        create or replace function pg_temp.try(p_client uuid, p jsonb) returns jsonb
        language plpgsql as $$
        declare
          v_session record;
          v_hint text;
          v_detail text;
          v_stored record;
        begin
          begin
            select * into v_session from public.create_custom_session(
              p_patient_id => p_client, p_start_time => p ->> 'start',
              p_session_date => (p ->> 'date')::date, p_session_time => (p ->> 'time')::time,
              p_time_zone => p ->> 'zone', p_duration_minutes => 30);
            raise sqlstate 'ZZ000' using detail = jsonb_build_object(
              'start', extract(epoch from v_session.start_time),
              'end', extract(epoch from v_session.end_time),
              'date', v_session.scheduled_date, 'time', v_session.scheduled_time,
              'zone', v_session.time_zone, 'message', v_session.beside ->> 'message')::text;
          exception when others then
            get stacked diagnostics v_hint = pg_exception_hint, v_detail = pg_exception_detail;
            if sqlstate = 'ZZ000' then
              return v_detail;
            end if;
            return jsonb_build_object('refused', sqlstate || ' ' || v_hint, 'why', v_detail);
          end;
        end
        $$
        """
    )
    with act_as(db, therapist):
        answers = db.execute(
            "select pg_temp.try(%s, p) as answer"
            " from jsonb_array_elements(%s) with ordinality t (p, n) order by n",
            (client.id, Jsonb(proposals)),
        ).fetchall()
    return [answer["answer"] for answer in answers]


@pytest.mark.parametrize("name", COUNTRIES)
@pytest.mark.parametrize("server_zone", SERVERS)
def test_a_proposal_around_a_clock_change_starts_at_its_local_time(
    db: Connection, therapist: Person, client: Person, now: datetime, name: str, server_zone: str
) -> None:
    zone = ZoneInfo(name)
    db.execute("select set_config('timezone', %s, true)", (server_zone,))
    wanted = walls(zone, now)
    expected: list[Row] = []
    for local in wanted:
        instants = showing(local, zone)
        if not instants:
            expected.append(
                {
                    "refused": "PT422 NONEXISTENT_LOCAL_TIME",
                    "why": {"session_time": f"does not exist on that day in {name}"},
                }
            )
            continue
        expected.append(
            {
                "start": instants[0].timestamp(),
                "end": instants[0].timestamp() + 30 * 60,
                "date": f"{local:%Y-%m-%d}",
                "time": f"{local:%H:%M:%S}",
                "zone": name,
                "message": TWICE if len(instants) == 2 else ONCE,
            }
        )

    found = propose_all(
        db,
        therapist,
        client,
        [{"date": f"{at:%Y-%m-%d}", "time": f"{at:%H:%M}", "zone": name} for at in wanted],
    )

    for answer in found:
        if "why" in answer:
            answer["why"] = json.loads(answer["why"])
    assert found == expected
    if transitions(zone):
        refused = [answer for answer in found if "refused" in answer]
        repeated = [answer for answer in found if answer.get("message") == TWICE]
        assert min(len(refused), len(repeated)) >= 4


@pytest.mark.parametrize("name", COUNTRIES)
@pytest.mark.parametrize("server_zone", SERVERS)
def test_an_instant_is_shown_in_the_time_zone_of_its_session(
    db: Connection, therapist: Person, client: Person, now: datetime, name: str, server_zone: str
) -> None:
    zone = ZoneInfo(name)
    db.execute("select set_config('timezone', %s, true)", (server_zone,))
    instants = [
        at + timedelta(minutes=minutes)
        for at in to_come(zone, now)
        for minutes in (-61, -60, -30, -1, 0, 1, 29, 30, 60)
    ]

    # Each is written as some other zone's clocks show it.
    found = propose_all(
        db,
        therapist,
        client,
        [
            {"start": at.astimezone(ZoneInfo("Asia/Tokyo")).isoformat(), "zone": name}
            for at in instants
        ],
    )

    assert found == [
        {
            "start": at.timestamp(),
            "end": at.timestamp() + 30 * 60,
            "date": f"{at.astimezone(zone):%Y-%m-%d}",
            "time": f"{at.astimezone(zone):%H:%M:%S}",
            "zone": name,
            "message": ONCE,
        }
        for at in instants
    ]


@pytest.mark.parametrize("name", COUNTRIES)
@pytest.mark.parametrize("server_zone", SERVERS)
def test_suggested_times_around_a_clock_change_have_local_time_labels(
    db: Connection, therapist: Person, client: Person, now: datetime, name: str, server_zone: str
) -> None:
    zone = ZoneInfo(name)
    db.execute("select set_config('timezone', %s, true)", (server_zone,))
    changes = to_come(zone, now)

    labels = []
    for at in changes:
        propose(db, therapist, client, p_start_time=at, p_time_zone=name)
        [answer] = propose_all(db, therapist, client, [{"start": at.isoformat(), "zone": name}])
        assert answer["refused"] == "PT409 TIME_SLOT_CONFLICT"
        labels += json.loads(answer["why"])["suggested_times"]

    assert len(labels) == 5 * len(changes)
    offsets = {datetime.fromisoformat(told["time"]).utcoffset() for told in labels}
    assert offsets == {timedelta(0)}
    for told in labels:
        local = datetime.fromisoformat(told["time"]).astimezone(zone)
        assert told["label"] == f"{local:%a} {local.day} {local:%b, %H:%M}"


@pytest.mark.parametrize("name", COUNTRIES)
@pytest.mark.parametrize("server_zone", SERVERS)
def test_an_approved_instant_session_gets_the_date_of_its_own_time_zone(
    db: Connection, therapist: Person, client: Person, now: datetime, name: str, server_zone: str
) -> None:
    db.execute("select set_config('timezone', %s, true)", (server_zone,))
    give_credits(db, client)
    session = propose(db, therapist, client, p_is_instant=True, p_time_zone=name)

    approved = approve(db, client, session)

    local = now.astimezone(ZoneInfo(name))
    assert approved["start_time"] == now
    shown = (approved["scheduled_date"].isoformat(), approved["scheduled_time"].isoformat())
    assert shown == (f"{local:%Y-%m-%d}", f"{local:%H:%M:%S}")


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
