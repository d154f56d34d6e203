"""Taking the product out: the application's database is what it was, columns kept or dropped."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from scripts.local import ROOT, StackError, database
from scripts.local.postgres import WHEEL_BIN
from tests import people
from tests.people import Connection, approve, call, propose
from tests.servers import Server
from tests.sql.test_install import (
    ADA,
    BEN,
    EARLIER_ATTEMPT,
    OLD,
    OLD_WRITES,
    PROFILES,
    THERAPIST,
    answers,
    install,
    schema,
)

ROLLBACK = ROOT / "sql" / "rollback" / "rollback.sql"
PREVIEW = ROOT / "sql" / "rollback" / "preview.sql"

# A project that has some of our names already, with types, comments and indexes of its own.
SOME_OF_OURS = """
alter table public.sessions
  add column title varchar(80), add column notes text, add column time_zone varchar(40);
alter table public.user_credits add column expires_at timestamptz, add column status varchar(20);
comment on column public.sessions.time_zone is 'Where the therapist lives.';
comment on column public.sessions.title is 'Shown in the list.';
create index user_credits_user_id_idx on public.user_credits (user_id, created_at);
alter table public.sessions enable row level security;
alter table public.user_credits enable row level security;
create policy "Everybody" on public.sessions using (true);
create extension btree_gist schema public;
create table public.holidays (
  during tstzrange, who uuid, exclude using gist (who with =, during with &&)
);
update public.sessions set title = 'Talk', notes = 'n', time_zone = 'Asia/Tokyo';
"""

# What a hosted project has beside: Realtime and pg_cron, as far as the install meets them.
HOSTED = """
alter table public.sessions enable row level security;
create schema realtime;
create table realtime.messages (topic text);
create function realtime.topic() returns text language sql as $$ select 'x' $$;
create function realtime.send(payload jsonb, event text, topic text, private boolean)
  returns void language sql as $$ select $$;
create schema cron;
create table cron.job (jobid bigint, jobname text);
insert into cron.job values (1, 'theirs');
create function cron.schedule(job_name text, schedule text, command text) returns bigint
language plpgsql as $$
begin
  delete from cron.job where jobname = job_name;
  insert into cron.job values (7, job_name);
  return 7;
end
$$;
create function cron.unschedule(job_id bigint) returns boolean language sql as
  $$ delete from cron.job where jobid = job_id returning true $$;
"""

PLACES = {
    "old": OLD,
    "earlier attempt": OLD + EARLIER_ATTEMPT,
    "people elsewhere": OLD + PROFILES,
    "hosted": OLD + HOSTED,
    "some of ours": OLD + SOME_OF_OURS,
    "starter": "",
}


@pytest.fixture
def place(server: Server, request: pytest.FixtureRequest) -> Iterator[Connection]:
    """A connection to a database of some project, where nothing of ours is installed yet."""
    name = f"test_rollback_{uuid4().hex[:8]}"
    address = server.create(name, "template0")
    try:
        database.apply(address, [database.SUPABASE])
        text = PLACES[getattr(request, "param", "old")]
        if not text:
            database.apply(address, [database.STARTER])
        with people.connect(address) as db:
            if text:
                db.execute(text)
            yield db
    finally:
        server.drop(name)


def roll_back(db: Connection, columns: str = "keep") -> str:
    """Roll back as a DBA does; return what was said."""
    result = subprocess.run(
        [
            *(WHEEL_BIN / "psql", "-X", "-1", "-q", "-v", "ON_ERROR_STOP=1", "-d", db.info.dsn),
            *("-c", f"set session_approval.rollback_columns = '{columns}'", "-f", ROLLBACK),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise StackError(result.stderr)
    return result.stderr


def dump(db: Connection) -> str:
    """Return a whole database, rows and all.

    A check over varchars is printed in two ways that mean the same, the second after reading back.
    """
    result = subprocess.run(
        [WHEEL_BIN / "pg_dump", "--restrict-key=x", "-d", db.info.dsn],
        capture_output=True,
        text=True,
        check=True,
    )
    text = re.sub(r"\(('\w+'::character varying)\)::text", r"\1", result.stdout)
    return re.sub(r"\((ARRAY\['\w+'::character varying[^]]*\])\)::text\[\]", r"\1", text)


def use(db: Connection) -> None:
    """Propose, approve and decline, as people do."""
    propose(db, THERAPIST, ADA)
    approve(db, ADA, propose(db, THERAPIST, ADA))
    declined = propose(db, THERAPIST, BEN)
    call(db, BEN, "decline_session", p_session_id=declined["id"])


everywhere = pytest.mark.parametrize("place", PLACES, indirect=True)


@everywhere
def test_a_database_is_to_the_letter_what_it_was_when_our_columns_are_dropped(
    place: Connection,
) -> None:
    before = dump(place)

    install(place)
    install(place)
    assert dump(place) != before
    roll_back(place, "drop")

    assert dump(place) == before


@everywhere
def test_it_can_be_installed_and_taken_out_again_and_again(place: Connection) -> None:
    install(place)
    installed = schema(place)
    roll_back(place, "drop")
    install(place)
    assert schema(place) == installed

    for _ in range(2):
        roll_back(place)
        install(place)
    roll_back(place)

    left = place.execute(
        "select count(*) as n from pg_proc f where f.prosrc like '%session_approval.%'"
    ).fetchall()
    assert left == [{"n": 0}]


@pytest.mark.parametrize("columns", ["keep", "drop"])
def test_what_people_did_meanwhile_stays_and_the_applications_statements_work(
    place: Connection, columns: str
) -> None:
    install(place)
    use(place)
    before = answers(place)

    roll_back(place, columns)

    assert answers(place) == before
    for statement in OLD_WRITES:
        with place.transaction(force_rollback=True), people.act_as(place, None, "service_role"):
            assert place.execute(statement).statusmessage, statement
    assert place.execute("select to_regnamespace('session_approval') as gone").fetchall() == [
        {"gone": None}
    ]


def test_columns_that_the_install_added_are_kept_with_what_is_in_them_unless_asked(
    place: Connection,
) -> None:
    install(place)
    use(place)
    statement = "select id, approved_at, credit_lot_id, title from public.sessions order by id"
    before = place.execute(statement).fetchall()

    said = roll_back(place)

    assert place.execute(statement).fetchall() == before
    assert "kept: column sessions.approved_at" in said
    install(place)
    roll_back(place, "drop")
    assert place.execute(statement).fetchall() == before, "kept once, they are the application's"


def test_the_wider_check_on_status_stays_while_a_session_needs_it_and_that_is_said(
    place: Connection,
) -> None:
    install(place)
    propose(place, THERAPIST, ADA)

    said = roll_back(place, "drop")

    assert "kept: check known_states on sessions, widened: 1 sessions have a status" in said
    place.execute("update public.sessions set status = 'in_progress' where status = 'scheduled'")


def test_a_check_that_was_changed_after_the_install_is_left_alone(place: Connection) -> None:
    install(place)
    place.execute(
        "alter table public.sessions drop constraint known_states,"
        " add constraint known_states check (status <> 'x')"
    )

    said = roll_back(place, "drop")

    assert "kept: check known_states on sessions, which was changed after the install" in said
    with pytest.raises(psycopg.errors.CheckViolation):
        place.execute("update public.sessions set status = 'x'")


def test_a_check_that_old_rows_break_comes_back_for_new_rows_alone(place: Connection) -> None:
    place.execute(
        "alter table public.sessions drop constraint known_states;"
        " update public.sessions set status = 'odd' where status = 'completed';"
        " alter table public.sessions add constraint known_states"
        " check (status in ('scheduled', 'confirmed', 'cancelled', 'rescheduled')) not valid"
    )
    before = dump(place)

    install(place)
    roll_back(place, "drop")

    assert dump(place) == before


def test_what_the_application_built_on_ours_stops_it_and_nothing_is_changed(
    place: Connection,
) -> None:
    install(place)
    place.execute(
        "create view public.money as select sum(delta) from session_approval.credit_ledger;"
        " create table public.notes (entry bigint references session_approval.credit_ledger (id))"
    )
    before = dump(place)

    with pytest.raises(StackError) as caught:
        roll_back(place, "drop")

    assert "in the way: rule _RETURN on view money" in str(caught.value)
    assert "in the way: constraint notes_entry_fkey on table notes" in str(caught.value)
    assert "nothing was changed" in str(caught.value)
    assert dump(place) == before


def test_the_extension_stays_when_the_application_has_come_to_use_it(place: Connection) -> None:
    place.execute("drop schema extensions")
    install(place)
    place.execute(
        "create table public.holidays (who uuid, during tstzrange,"
        " exclude using gist (who with =, during with &&))"
    )

    said = roll_back(place)

    assert "kept: extension btree_gist, moved to schema public" in said
    place.execute("insert into public.holidays values (gen_random_uuid(), 'empty')")


def test_the_preview_lists_it_all_and_changes_nothing(place: Connection) -> None:
    install(place)
    use(place)
    before = dump(place)
    options = place.info.dsn

    def preview(columns: str) -> list[str]:
        shown = subprocess.run(
            [
                *(WHEEL_BIN / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *("-d", options, "-c", "set default_transaction_read_only = on"),
                *("-c", f"set session_approval.rollback_columns = '{columns}'", "-f", PREVIEW),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split("|", 1)[1] for line in shown.stdout.splitlines()]

    keeping, dropping = preview("keep"), preview("drop")

    assert "drop: schema session_approval with everything in it" in keeping
    assert any(line.startswith("drop: table session_approval.credit_ledger") for line in keeping)
    assert "drop: extension btree_gist" in keeping
    assert [line for line in keeping if line not in dropping] == [
        line.replace("drop", "kept", 1) for line in dropping if line not in keeping
    ]
    assert "drop: column sessions.is_instant" in dropping
    assert "drop: column sessions.room_name" not in dropping
    assert dump(place) == before


def test_it_runs_as_one_string_as_an_sql_editor_sends_it(place: Connection) -> None:
    before = dump(place)
    install(place)

    with psycopg.connect(place.info.dsn, autocommit=True) as connection:
        for text in ("set session_approval.rollback_columns = 'drop'", Path(ROLLBACK).read_text()):
            connection.pgconn.exec_(text.encode())
            assert connection.pgconn.error_message == b""

    assert dump(place) == before


def test_where_nothing_is_installed_or_the_choice_is_none_it_says_so(place: Connection) -> None:
    with pytest.raises(StackError, match="there is no session_approval"):
        roll_back(place)
    install(place)
    with pytest.raises(StackError, match="either keep or drop"):
        roll_back(place, "yes")
