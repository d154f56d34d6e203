"""What is ours in schema public, functions and types, and what the application builds on it."""

import re

import pytest

from scripts import CommandError
from scripts.operate import psql
from tests import actors
from tests.actors import Connection, call, propose
from tests.house.test_catalogue import ENTRY_POINTS
from tests.install.places import dump, install, roll_back
from tests.install.test_preconditions import PRECONDITIONS, complaints

NAME = "list_clients"
CALL = f"select * from session_approval.{NAME}(null, 50, null)"
# What somebody may have in an entry point's place, and whether it is ours.
BODIES = {
    "as the install made it": (f"language sql as '{CALL}'", True),
    "with other blanks": (
        f"language sql as $$\n  {CALL.replace(' from', chr(10) + '  from')} $$",
        True,
    ),
    "as an older release made it": (
        f"language sql as 'select * from session_approval.{NAME}()'",
        True,
    ),
    "something of its own": ("language sql as 'select null::public.client_answer'", False),
    "a part of ours": (f"language sql as '{CALL.replace('*', 'c', 1)} c limit 1'", False),
    "another function of ours": (
        "language sql as 'select * from session_approval.list_sessions(null, null, 1, null)'",
        False,
    ),
    "ours and more": (
        f"language plpgsql as 'begin return query {CALL}; end'",
        False,
    ),
}


@pytest.mark.parametrize("body", BODIES)
def test_a_function_is_ours_if_it_only_calls_our_function_of_the_same_name(
    own_database: str, body: str
) -> None:
    definition, is_ours = BODIES[body]
    with actors.connect(own_database) as db:
        db.execute(
            f"set check_function_bodies = off; drop function public.{NAME}(text, integer, uuid);"
            f" create function public.{NAME}(p_page integer) returns setof public.client_answer"
            f" {definition}"
        )

        found = db.execute(
            "select from session_approval.public_objects o where o.name = %s", (NAME,)
        ).rowcount

        assert found == is_ours
        if is_ours:
            install(db)
            found = db.execute(
                "select from session_approval.public_objects o where o.kind = 'function'"
            )
            assert found.rowcount == len(ENTRY_POINTS)
        else:
            assert complaints(db) == [
                f"the name of function public.{NAME}(p_page integer), which is not ours:"
                " rename it, or drop it"
            ]


def test_every_type_of_the_application_with_our_name_is_reported(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        roll_back(db, "drop")
        db.execute(
            "create type public.session_answer as (id uuid);"
            " create table public.join_answer (id uuid);"
            " create view public.sweep_answer as select 1 as one;"
            " create domain public.client_answer as text"
        )

        assert complaints(db) == [
            f"the name of {kind} public.{name}, which is not ours: rename it, or drop it"
            for kind, name in (
                ("table", "join_answer"),
                ("type", "client_answer"),
                ("type", "session_answer"),
                ("view", "sweep_answer"),
            )
        ]


def test_every_answer_type_is_on_the_list_of_names(db: Connection) -> None:
    [names] = re.findall(r"t\.typname in \((.*?)\)", PRECONDITIONS, re.S)

    assert set(re.findall(r"'(\w+)'", names)) == {
        row["name"]
        for row in db.execute(
            "select o.name from session_approval.public_objects o where o.kind = 'type'"
        )
    }


# What the application builds on our answers.

_OF_THEIRS = (
    "create view public.mine as select s.id, s.status from public.list_sessions() s;"
    " create table public.seen (answer public.session_answer, many public.client_answer[]);"
    " create function public.first() returns setof public.session_answer"
    " language sql as 'select * from public.list_sessions() limit 1'"
)


def test_an_install_keeps_the_applications_objects_that_use_our_answer_types(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        therapist, client = actors.add_person(db, "therapist"), actors.add_person(db, "individual")
        session = propose(db, therapist, client)
        db.execute(_OF_THEIRS)
        before = dump(db)

        install(db)

        assert dump(db) == before
        with actors.act_as(db, client):
            assert db.execute("select * from public.first()").rowcount == 1
        assert call(db, client, "list_sessions")[0]["id"] == session["id"]


def test_an_older_answer_type_that_the_application_uses_stops_the_install(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        db.execute(_OF_THEIRS)
        db.execute("alter type public.session_answer drop attribute no_show_by cascade")
        before = dump(db)

        with pytest.raises(CommandError, match=r"no_show_by.*session_answer"):
            psql.apply(own_database, [psql.INSTALL])

        assert dump(db) == before


def test_an_undo_names_the_applications_objects_that_use_our_answer_types(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        db.execute(_OF_THEIRS)
        before = dump(db)

        with pytest.raises(CommandError) as caught:
            roll_back(db)

        assert re.findall(r"in the way: (.*), which", str(caught.value)) == [
            "column answer of table seen",
            "column many of table seen",
            "function first()",
            "rule _RETURN on view mine",
        ]
        assert dump(db) == before


def test_an_undo_drops_our_types(own_database: str) -> None:
    with actors.connect(own_database) as db:
        roll_back(db)

        left = db.execute("select from pg_type t where t.typname like '%\\_answer'")
        assert left.rowcount == 0
