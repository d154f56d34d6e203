"""Taking the product out: the application's database is what it was, columns kept or dropped."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scripts import ROOT, CommandError
from scripts.local.postgres import WHEEL_BIN
from tests import actors
from tests.actors import Connection, approve, call, propose
from tests.install import places
from tests.install.places import ADA, BEN, ROLLBACK, THERAPIST, dump, install, roll_back
from tests.install.test_install import OLD_WRITES, answers
from tests.servers import Server

PREVIEW = ROOT / "sql" / "uninstall" / "preview.sql"
# The earlier attempt has lost its own.
CHECKED = "alter table public.sessions add constraint known_states check (status <> 'in_progress');"


@pytest.fixture
def place(server: Server) -> Iterator[Connection]:
    """A connection to a database of an older project, where nothing of ours is installed yet."""
    with places.place(server, "older") as db:
        yield db


def use(db: Connection) -> None:
    """Propose, approve and decline, as people do."""
    propose(db, THERAPIST, ADA)
    approve(db, ADA, propose(db, THERAPIST, ADA))
    declined = propose(db, THERAPIST, BEN)
    call(db, BEN, "decline_session", p_session_id=declined["id"])


@pytest.mark.parametrize("columns", ["keep", "drop"])
def test_an_undo_keeps_the_rows_of_people_and_the_applications_statements_work(
    place: Connection, columns: str
) -> None:
    install(place)
    use(place)
    before = answers(place)

    roll_back(place, columns)

    assert answers(place) == before
    for statement in OLD_WRITES:
        with place.transaction(force_rollback=True), actors.act_as(place, None, "service_role"):
            assert place.execute(statement).statusmessage, statement
    assert place.execute("select to_regnamespace('session_approval') as gone").fetchall() == [
        {"gone": None}
    ]


def test_an_undo_keeps_added_columns_and_their_values_unless_told_to_drop_them(
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


def test_an_undo_keeps_and_reports_the_wider_status_check_while_a_session_needs_it(
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


def test_a_check_that_was_dropped_after_the_install_is_not_restored(place: Connection) -> None:
    install(place)
    place.execute("alter table public.sessions drop constraint known_states")

    said = roll_back(place, "drop")

    assert "kept: check known_states on sessions, which was changed after the install" in said
    place.execute("update public.sessions set status = 'x'")


def test_a_check_that_old_rows_break_is_restored_only_for_new_rows(place: Connection) -> None:
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


def test_an_earlier_function_is_restored_with_its_default_grant_to_public(
    place: Connection,
) -> None:
    function = "public.approve_session_and_deduct_credit(uuid, uuid)"
    place.execute(f"create function {function} returns integer language sql as 'select 1'")

    install(place)
    roll_back(place, "drop")

    allowed = place.execute(f"select has_function_privilege('anon', '{function}', 'execute') as ok")
    assert allowed.fetchall() == [{"ok": True}]


def test_an_object_of_the_application_that_uses_ours_stops_the_undo(
    place: Connection,
) -> None:
    install(place)
    place.execute(
        "create view public.money as select sum(delta) from session_approval.credit_ledger;"
        " create table public.notes (entry bigint references session_approval.credit_ledger (id),"
        " was session_approval.credit_ledger, room text default session_approval.room_name(null));"
        " create trigger only_more before delete on public.notes"
        " for each row execute function session_approval.refuse_ledger_change();"
        " create function public.spent(session_approval.credit_ledger) returns integer"
        " language sql return -$1.delta"
    )
    before = dump(place)

    with pytest.raises(CommandError) as caught:
        roll_back(place, "drop")

    said = str(caught.value)
    assert set(re.findall("in the way: (.+), which relies on ours", said)) == {
        "rule _RETURN on view money",
        "constraint notes_entry_fkey on table notes",
        "column was of table notes",
        "default value for column room of table notes",
        "trigger only_more on table notes",
        "function spent(session_approval.credit_ledger)",
    }
    assert "nothing was changed" in said
    assert dump(place) == before


HOLIDAYS = (
    "create table public.holidays (who uuid, during tstzrange,"
    " exclude using gist (who with =, during with &&))"
)


@pytest.mark.parametrize("schema", ["extensions", "public"])
def test_the_extension_stays_if_the_application_uses_it(place: Connection, schema: str) -> None:
    if schema == "public":
        place.execute("drop schema extensions")
    install(place)
    place.execute(HOLIDAYS)

    said = roll_back(place)

    assert ("kept: extension btree_gist, moved to schema public" in said) == (schema == "public")
    assert "kept: extension btree_gist" in said
    place.execute("insert into public.holidays values (gen_random_uuid(), 'empty')")
    assert place.execute(
        "select extnamespace::regnamespace::text as schema from pg_extension"
        " where extname = 'btree_gist'"
    ).fetchall() == [{"schema": schema}]


def plan(db: Connection) -> list[tuple[int, str]]:
    """Return the steps of the rollback, and what they do."""
    found = db.execute(
        "select step, what from session_approval.uninstall_plan order by step, what"
    ).fetchall()
    return [(step["step"], step["what"]) for step in found]


def test_the_plan_has_no_step_for_a_missing_or_unchanged_object(server: Server) -> None:
    with places.place(server, "some_of_ours") as db:
        db.execute("alter table public.sessions add request_key text")
        install(db)
        assert [what.rpartition(" ")[2] for step, what in plan(db) if step == 10] == [
            "sessions.request_key",
            "sessions.time_zone",
            "user_credits.credits_expired",
            "user_credits.expires_at",
        ]

        db.execute(
            "comment on column public.sessions.time_zone is 'Where the therapist lives.';"
            " alter table public.sessions drop request_key, drop credit_lot_id;"
            " drop index public.user_credits_expires_at_idx"
        )

        gone = re.compile("time_zone|request_key|credit_lot_id|user_credits_expires_at_idx")
        assert [what for step, what in plan(db) if step >= 10 and gone.search(what)] == []
        roll_back(db, "drop")
        commented = re.findall(r"COMMENT ON COLUMN public\.user_credits\.(\w+)", dump(db))
        assert commented == ["credits_expired"]  # the comment from before the install


def test_the_plan_has_every_kind_of_step_in_order(server: Server) -> None:
    found = set()
    for name, more, later in [
        ("earlier_attempt", CHECKED + places.text("hosted"), ""),
        ("profiles", "drop schema extensions", HOLIDAYS),
    ]:
        with places.place(server, name) as db:
            db.execute(more)
            install(db)
            db.execute(later)
            for step, what in plan(db):
                found |= {(step, kind) for kind in re.findall(r"^[a-z ]+: \w+", what)}

    assert sorted(found) == [
        (1, "drop: function"),
        (2, "put back: function"),
        (3, "drop: trigger"),
        (4, "drop: policy"),
        (4, "drop: the"),  # job of pg_cron
        (5, "kept: extension"),
        (6, "drop: table"),
        (7, "drop: schema"),
        (8, "drop: type"),
        (8, "kept: view"),
        (9, "drop: extension"),
        (10, "put back: comment"),
        (11, "put back: check"),
        (12, "drop: index"),
        (13, "kept: column"),
    ]


def test_the_preview_lists_every_step_and_changes_nothing(place: Connection) -> None:
    install(place)
    use(place)
    before = dump(place)
    options = place.info.dsn

    def preview(columns: str) -> list[str]:
        shown = subprocess.run(
            [
                *(WHEEL_BIN / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *("-d", options, "-c", "set default_transaction_read_only = on"),
                *("-c", f"set session_approval.uninstall_columns = '{columns}'", "-f", PREVIEW),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split("|", 1)[1] for line in shown.stdout.splitlines()]

    keeping, dropping = preview("keep"), preview("drop")

    assert "drop: schema session_approval with everything in it" in keeping
    assert {
        name for line in keeping for name in re.findall(r"^drop: table (\S+) with its rows", line)
    } == {
        f"session_approval.{table['name']}"
        for table in place.execute(
            "select tablename as name from pg_tables where schemaname = 'session_approval'"
        )
    }
    assert "drop: extension btree_gist" in keeping
    assert [line for line in keeping if line not in dropping] == [
        line.replace("drop", "kept", 1) for line in dropping if line not in keeping
    ]
    assert "drop: column sessions.is_instant" in dropping
    assert "drop: column sessions.room_name" not in dropping
    assert dump(place) == before


def test_the_undo_runs_as_one_string_from_an_sql_editor(place: Connection) -> None:
    before = dump(place)
    install(place)

    with psycopg.connect(place.info.dsn, autocommit=True) as connection:
        for text in ("set session_approval.uninstall_columns = 'drop'", Path(ROLLBACK).read_text()):
            connection.pgconn.exec_(text.encode())
            assert connection.pgconn.error_message == b""

    assert dump(place) == before


def test_the_undo_refuses_a_missing_install_or_an_unknown_choice(place: Connection) -> None:
    with pytest.raises(CommandError, match="there is no session_approval"):
        roll_back(place)
    install(place)
    with pytest.raises(CommandError, match="either keep or drop"):
        roll_back(place, "yes")
