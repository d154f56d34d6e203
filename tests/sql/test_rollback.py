"""Taking the product out: the application's database is what it was, columns kept or dropped."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from scripts.local import ROOT, StackError
from scripts.local.postgres import WHEEL_BIN
from tests import people
from tests.install import places
from tests.install.places import ADA, BEN, ROLLBACK, THERAPIST, dump, install, roll_back
from tests.people import Connection, approve, call, propose
from tests.servers import Server
from tests.sql.test_install import OLD_WRITES, answers

PREVIEW = ROOT / "sql" / "rollback" / "preview.sql"


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


def test_an_earlier_function_that_everybody_could_call_by_default_comes_back_so(
    place: Connection,
) -> None:
    function = "public.approve_session_and_deduct_credit(uuid, uuid)"
    place.execute(f"create function {function} returns integer language sql as 'select 1'")

    install(place)
    roll_back(place, "drop")

    allowed = place.execute(f"select has_function_privilege('anon', '{function}', 'execute') as ok")
    assert allowed.fetchall() == [{"ok": True}]


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
