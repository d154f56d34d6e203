"""The history of installs: which release, when, by whom, and exactly what."""

from hashlib import md5

import pytest

from scripts.operate import psql
from scripts.operate.bundle import version
from tests import actors
from tests.actors import Connection, Row


def history(db: Connection) -> list[Row]:
    """Return the installs, oldest first."""
    return db.execute("select * from session_approval.installs order by id").fetchall()


def definitions(db: Connection) -> dict[str, str]:
    """Return a digest of everything of ours as it is now."""
    found = db.execute("select * from session_approval.object_digests()").fetchall()
    return {f"{thing['kind']} {thing['name']}": thing["digest"] for thing in found}


def test_the_database_knows_its_release(db: Connection) -> None:
    assert db.execute("select session_approval.version() as v").fetchall() == [{"v": version()}]


def test_an_install_adds_a_row_and_a_repeated_install_adds_none(own_database: str) -> None:
    with actors.connect(own_database) as db:
        [first] = history(db)
        assert (first["version"], first["installed_by"]) == (version(), "postgres")
        assert len(first["definitions"]) > 150

        psql.apply(own_database, [psql.INSTALL])

        assert history(db) == [first]


def test_the_checksum_covers_all_functions_in_order_of_name(db: Connection) -> None:
    [installed] = history(db)

    functions = {
        name.removeprefix("function "): digest
        for name, digest in installed["definitions"].items()
        if name.startswith("function ")
    }
    text = ",".join(name + functions[name] for name in sorted(functions))
    assert installed["checksum"] == md5(text.encode()).hexdigest()  # noqa: S324 - as it is there


def test_an_object_changed_by_hand_differs_from_the_installed_one(own_database: str) -> None:
    with actors.connect(own_database) as db:
        [installed] = [row["definitions"] for row in history(db)]
        db.execute(
            "create or replace function session_approval.room_name(p_session_id uuid) returns text"
            " language sql immutable set search_path = '' as $$ select 'x' $$;"
            " create or replace view session_approval.clients as"
            " select id, full_name, email, time_zone from session_approval.people;"
            " grant execute on function public.get_credits(bigint) to anon;"
            " drop trigger session_approval_guard on public.sessions;"
            " drop index session_approval.session_events_session_id_idx;"
            " create index session_events_session_id_idx on session_approval.session_events (id);"
            " alter table session_approval.transitions drop constraint a_transition_leads_elsewhere"
        )

        now = definitions(db)

        differing = {name for name in installed | now if installed.get(name) != now.get(name)}
        assert differing == {
            "function session_approval.room_name(uuid)",
            "view clients",
            "grants public.get_credits(bigint)",
            "trigger session_approval_guard on public.sessions",
            "index session_approval.session_events_session_id_idx",
            "constraint a_transition_leads_elsewhere on session_approval.transitions",
        }


def test_a_function_of_the_application_is_not_listed_as_ours(db: Connection) -> None:
    before = definitions(db)

    db.execute("create function public.theirs() returns integer language sql as 'select 1'")

    assert definitions(db) == before


def test_an_object_added_by_hand_is_listed_with_its_default_grants(db: Connection) -> None:
    before = definitions(db)
    db.execute(
        "create table session_approval.added (id bigint generated always as identity primary key);"
        " create function session_approval.add() returns integer language sql as 'select 1'"
    )

    after = definitions(db)

    assert after.keys() - before.keys() == {
        "constraint added_pkey on session_approval.added",
        "index session_approval.added_pkey",
        "grants added",
        "function session_approval.add()",
        "grants session_approval.add()",
    }
    db.execute(
        "grant all on session_approval.added to current_user;"
        " grant execute on function session_approval.add() to public"
    )
    assert definitions(db) == after


@pytest.mark.parametrize("was", ["version = '0.0.9'", "definitions = '{}'"])
def test_an_install_that_changes_something_leaves_another_row(own_database: str, was: str) -> None:
    with actors.connect(own_database) as db:
        [first] = history(db)
        db.execute(f"update session_approval.installs set {was}")

        psql.apply(own_database, [psql.INSTALL])

        [_, second] = history(db)
        assert (second["version"], second["checksum"]) == (version(), first["checksum"])
        assert second["definitions"] == first["definitions"]
        assert second["installed_at"] > first["installed_at"]


def test_the_order_in_which_grants_were_given_does_not_count(db: Connection) -> None:
    before = definitions(db)

    db.execute(
        "revoke execute on function public.get_credits(bigint) from authenticated, service_role"
    )
    assert definitions(db) != before
    db.execute("grant execute on function public.get_credits(bigint) to service_role")
    db.execute("grant execute on function public.get_credits(bigint) to authenticated")

    assert definitions(db) == before
