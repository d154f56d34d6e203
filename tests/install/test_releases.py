"""Over each earlier release: what it left is kept, and the database is that of a fresh install."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from scripts.operate import psql
from tests import actors
from tests.actors import Connection, Person, approve, call, call_as, propose
from tests.install.places import HERE, dump, install, roll_back
from tests.servers import Server

RELEASES = sorted((HERE / "releases").glob("*.sql"))

# Every table but those whose rows are the install's own: they grow with releases.
_TABLES = """
    select c.oid::regclass::text as name,
      string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relkind = 'r' and not a.attisdropped
      and c.relnamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
      and c.relname not in ('transitions', 'installs', 'install_changes')
    group by c.oid
"""


@pytest.fixture(params=RELEASES, ids=lambda file: file.stem)
def older(server: Server, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to a database with an earlier release, and nobody in it yet."""
    name = "test_release"
    address = server.create(name, "template0")
    release: Path = request.param
    try:
        psql.apply(address, [psql.SUPABASE, psql.STARTER, release])
        with actors.connect(address) as db:
            yield db
    finally:
        server.drop(name)


def used(db: Connection) -> tuple[Person, Person, dict[str, Any], dict[str, Any]]:
    """Use every act of an earlier release; return the people, a waiting and a decided session."""
    therapist, client = actors.add_person(db, "therapist"), actors.add_person(db, "individual")
    actors.give_credits(db, client, 2)
    call_as(
        db,
        "service_role",
        None,
        "grant_credits",
        p_user_id=client.id,
        p_amount=3,
        p_source="stripe",
        p_reference="pi_1",
    )
    actors.configure(db, low_balance=7, video_base_url="https://example.daily.co")
    cancelled, declined, waiting, decided = (propose(db, therapist, client) for _ in range(4))
    for session in (cancelled, decided):
        approve(db, client, session)
    call(db, therapist, "cancel_session", p_session_id=cancelled["id"])
    call(db, client, "decline_session", p_session_id=declined["id"])
    instant = propose(db, therapist, client, p_is_instant=True)
    approve(db, client, instant)
    call(db, client, "join_session", p_session_id=instant["id"])
    return therapist, client, waiting, decided


def rows(db: Connection, tables: dict[str, str]) -> dict[str, Any]:
    """Return every row of some tables, with these columns."""
    return {
        table: db.execute(
            f"select to_jsonb(t) as row from (select {columns} from {table}) t order by t::text"
        ).fetchall()
        for table, columns in tables.items()
    }


def test_there_are_earlier_releases_to_begin_with() -> None:
    assert len(RELEASES) == 3


def test_an_upgrade_keeps_every_row_and_leaves_what_a_fresh_install_leaves(
    older: Connection, own_database: str
) -> None:
    therapist, client, waiting, decided = used(older)
    tables = {t["name"]: t["columns"] for t in older.execute(_TABLES)}
    before = rows(older, tables)
    assert len(tables) >= 6
    assert len(before["session_approval.credit_ledger"]) == 6

    install(older)

    with actors.connect(own_database) as fresh:
        assert dump(older, "--schema-only") == dump(fresh, "--schema-only")
    assert rows(older, tables) == before
    assert call_as(older, "service_role", None, "reconcile_credits") == []
    assert approve(older, client, waiting)["status"] == "scheduled"
    assert approve(older, client, decided)["already_approved"] is True
    [cancelled] = call(older, therapist, "cancel_session", p_session_id=decided["id"])
    assert cancelled["refunded"] is True


def test_sessions_that_an_earlier_release_approved_hold_their_time_after_the_upgrade(
    older: Connection,
) -> None:
    therapist, client, waiting, decided = used(older)

    install(older)

    held = older.execute(
        "select distinct session_id from session_approval.bookings where session_id = any(%s)",
        ([waiting["id"], decided["id"]],),
    ).fetchall()
    assert len(held) == 2
    with pytest.raises(psycopg.Error) as caught:
        propose(older, therapist, client, p_start_time=decided["start_time"])
    assert caught.value.sqlstate == "PT409"


def test_an_upgraded_database_can_be_rolled_back_and_installed_again(older: Connection) -> None:
    used(older)
    install(older)

    roll_back(older, "drop")
    assert "session_approval" not in re.sub(r"--.*", "", dump(older, "--schema-only"))

    install(older)
    sessions = older.execute("select count(*) as n from public.sessions").fetchall()
    assert sessions == [{"n": 5}]
