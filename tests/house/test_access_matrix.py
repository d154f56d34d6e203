"""The access matrix, tried by SQL: every role and person, every object, column and verb."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests import actors
from tests.actors import Connection
from tests.house import access_matrix
from tests.house.access_matrix import ACTORS, PROJECTS, ROLES, Project, World
from tests.servers import Server


@pytest.fixture(scope="module", params=PROJECTS.values(), ids=PROJECTS.keys())
def project(request: pytest.FixtureRequest) -> Project:
    """A kind of project that the product is installed into."""
    kind: Project = request.param
    return kind


@pytest.fixture(scope="module")
def address(server: Server, project: Project) -> Iterator[str]:
    """The address of a database of that kind."""
    with project.database(server) as lent:
        yield lent


@pytest.fixture(scope="module")
def populated(address: str) -> Iterator[tuple[Connection, World]]:
    """A connection to it with a world in its open transaction, which is rolled back."""
    with actors.connect(address, autocommit=False) as connection:
        yield connection, access_matrix.populate(connection)
        connection.rollback()


@pytest.fixture
def installed(populated: tuple[Connection, World]) -> Iterator[Connection]:
    """The same connection; what a test changes is rolled back."""
    with populated[0].transaction(force_rollback=True):
        yield populated[0]


@pytest.fixture
def world(populated: tuple[Connection, World]) -> World:
    """The world in it."""
    return populated[1]


def test_the_database_grants_what_the_file_says_and_nothing_else(
    installed: Connection, project: Project
) -> None:
    wrong = access_matrix.differences(installed, project.where)

    assert wrong == [], "\n".join(["tests/house/access_matrix.txt:", *wrong])


def test_public_has_no_privilege_on_anything_of_ours(installed: Connection) -> None:
    [counted] = installed.execute(
        """
        select count(*) as objects, count(*) filter (where a.grantee = 0) as open
        from (
          select coalesce(c.relacl, acldefault('r', c.relowner)) as acl from pg_class c
          where c.relkind in ('r', 'v') and c.relnamespace = 'session_approval'::regnamespace
          union all
          select coalesce(f.proacl, acldefault('f', f.proowner)) from pg_proc f
          where f.pronamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
            and not exists (select from pg_depend d where d.objid = f.oid and d.deptype = 'e')
          union all
          select coalesce(t.typacl, acldefault('T', t.typowner)) from pg_type t
          where t.oid in (select o.oid from session_approval.public_objects o)
        ) ours
        cross join lateral aclexplode(ours.acl) a
        """
    ).fetchall()

    assert counted["objects"] > 100
    assert counted["open"] == 0


@pytest.mark.parametrize("actor", ACTORS)
def test_every_actor_reaches_what_the_file_says(
    installed: Connection, world: World, project: Project, actor: str
) -> None:
    wrong = []
    rows = [*access_matrix.calls(), *access_matrix.tables(project.where)]

    with access_matrix.by_sql(installed, world.claims(actor)) as attempt:
        for row in rows:
            for label, answer in access_matrix.outcome(world, actor, row.what, attempt).items():
                if answer != row.cells[actor]:
                    wrong.append(f"{label}: {answer}, and not {row.cells[actor]}")

    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("role", ROLES)
def test_our_relations_refuse_every_verb_that_the_file_does_not_grant(
    db: Connection, role: str
) -> None:
    verbs = {
        "r": "select from {}",
        "a": "insert into {} default values",
        "w": "update {} set {} = default",
        "d": "delete from {}",
        "D": "truncate {}",
    }
    name = {"people": "authenticated", "service": "service_role"}.get(role, role)
    granted = {
        row.what.partition(":")[0]: row.cells[role] for row in access_matrix.relations("new")
    }
    ours = [
        what.split()
        for what in access_matrix.privileges(db)
        if what.startswith(("table session_approval.", "view session_approval."))
    ]
    columns = {relation: min(access_matrix.column_names(db, relation)) for _, relation in ours}
    attempts = 0

    with actors.act_as(db, None, name):
        for kind, relation in ours:
            letters = set("r" if kind == "view" else verbs)
            for letter in letters - set(granted.get(f"{kind} {relation}", "")):
                statement = verbs[letter].format(relation, columns[relation])
                with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
                    db.execute(sql.SQL(statement))  # type: ignore[arg-type]
                attempts += 1

    assert attempts > 30


# The tests above notice a change.


def test_a_new_object_that_a_role_can_reach_is_noticed(db: Connection) -> None:
    db.execute("create table session_approval.invoices (id integer)")
    db.execute("grant select on session_approval.invoices to service_role")
    db.execute("create view public.invoices as select 1 as price")
    db.execute("grant select on public.invoices to authenticated")
    db.execute("create function public.pay() returns void language sql as ''")

    assert access_matrix.differences(db, "new") == [
        "function public.pay: the database has anon X, people X, service X;"
        " the file has no row, which is - - -",
        "table session_approval.invoices: the database has anon -, people -, service r;"
        " the file has no row, which is - - -",
        "view public.invoices: the database has anon -, people r, service -;"
        " the file has no row, which is - - -",
    ]


def test_a_new_column_is_noticed_and_the_message_says_where_it_belongs(db: Connection) -> None:
    db.execute("alter table public.sessions add column price integer")
    db.execute("alter table session_approval.bookings add column colour text")

    assert access_matrix.differences(db, "new") == [
        "add colour to the list of columns in the row 'table session_approval.bookings'",
        "add price to the section [columns of public.sessions] (column, kind, a value to write)",
    ]


def test_a_column_and_an_object_that_are_gone_are_noticed(db: Connection) -> None:
    db.execute("alter table session_approval.bookings rename column during to period")
    db.execute("drop function public.list_clients")

    assert access_matrix.differences(db, "new") == [
        "function public.list_clients is gone: remove its row",
        "add period to the list of columns in the row 'table session_approval.bookings'",
        "remove during from the list of columns in the row 'table session_approval.bookings'",
    ]


def test_a_privilege_on_one_column_is_noticed(db: Connection) -> None:
    db.execute("grant select (balance_after) on session_approval.credit_ledger to authenticated")

    assert access_matrix.differences(db, "new") == [
        "column session_approval.credit_ledger.balance_after:"
        " the database has anon -, people r, service -; the file has no row, which is - - -"
    ]


def test_every_column_of_the_applications_tables_is_written(db: Connection) -> None:
    world = access_matrix.populate(db)
    written: dict[str, set[str]] = {"users": set(), "sessions": set(), "user_credits": set()}
    for row in access_matrix.tables("new"):
        for _, request, _ in access_matrix.attempts(row.what, *world.mine_and_theirs("client_A")):
            if request.verb == "update":
                written[request.target].update(request.values)

    assert written == {
        table: access_matrix.column_names(db, f"public.{table}") for table in written
    }


def test_every_table_of_the_application_is_read_and_written() -> None:
    requests = {tuple(row.what.split()[:2]) for row in access_matrix.tables("new")}

    assert requests == {
        (verb, table)
        for verb in ("read", "insert", "update", "delete", "truncate")
        for table in ("users", "sessions", "user_credits")
    }


def test_every_entry_point_is_called(db: Connection) -> None:
    called = {f"function public.{row.what.split()[1]}" for row in access_matrix.calls()}
    public = {what for what in access_matrix.privileges(db) if what.startswith("function public.")}

    assert sorted(public - called) == [], "add rows to [calls] in tests/house/access_matrix.txt"
    assert len(called) > 15
