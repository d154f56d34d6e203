"""The matrix of access_matrix.txt by SQL: every role and person, every object, column and verb."""

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
    """A connection to it, and the world that it has made there and never commits."""
    with actors.connect(address, autocommit=False) as connection:
        yield connection, access_matrix.populate(connection)
        connection.rollback()


@pytest.fixture
def installed(populated: tuple[Connection, World]) -> Iterator[Connection]:
    """That connection, whose every change is rolled back."""
    with populated[0].transaction(force_rollback=True):
        yield populated[0]


@pytest.fixture
def world(populated: tuple[Connection, World]) -> World:
    """That world."""
    return populated[1]


NEW = PROJECTS["new"]


def declared(db: Connection, project: Project) -> dict[str, tuple[str, ...]]:
    """Return the privileges that the table declares, as far as this Postgres knows them."""
    lines = access_matrix.lines("privileges", f"privileges: {project.privileges}")
    unknown = "m" if db.info.server_version < 170000 else ""
    return {
        line.what: tuple(cell.replace(unknown, "") if unknown else cell for cell in line.cells)
        for line in lines
    }


def test_the_table_declares_everything_that_is_there_and_nothing_else(
    installed: Connection, project: Project
) -> None:
    assert set(access_matrix.privileges(installed)) == set(declared(installed, project))


def test_every_role_has_the_privileges_that_the_table_declares(
    installed: Connection, project: Project
) -> None:
    found = access_matrix.privileges(installed)

    assert {
        what: (cells, found.get(what)) for what, cells in declared(installed, project).items()
    } == {what: (cells, cells) for what, cells in declared(installed, project).items()}


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
        ) ours
        cross join lateral aclexplode(ours.acl) a
        """
    ).fetchall()

    assert counted["objects"] > 100
    assert counted["open"] == 0


@pytest.mark.parametrize("actor", ACTORS)
def test_everybody_reaches_what_the_table_says(
    installed: Connection, world: World, project: Project, actor: str
) -> None:
    wrong = []
    lines = access_matrix.lines("reach", f"reach: {project.reach}")

    with access_matrix.by_sql(installed, world.claims(actor)) as attempt:
        for line in lines:
            expected = line.cells[ACTORS.index(actor)]
            for label, found in access_matrix.outcome(world, actor, line.what, attempt).items():
                if found != expected:
                    wrong.append(f"{label}: {found}, and not {expected}")

    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_what_is_behind_the_doors_refuses_every_verb_that_the_table_does_not_grant(
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
    tried = 0

    with actors.act_as(db, None, name):
        for line in access_matrix.lines("privileges"):
            kind, _, rest = line.what.partition(" ")
            if kind not in ("table", "view"):
                continue
            relation, _, columns = rest.partition(": ")
            granted = line.cells[ROLES.index(role)]
            for letter in set("r" if kind == "view" else verbs) - set(granted):
                statement = verbs[letter].format(relation, columns.split()[0])
                with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
                    db.execute(sql.SQL(statement))  # type: ignore[arg-type]
                tried += 1

    assert tried > 30


# That the tests above would notice.


def test_something_new_that_the_table_does_not_declare_is_noticed(db: Connection) -> None:
    known = set(declared(db, NEW))
    db.execute("create table session_approval.invoices (id integer)")
    db.execute("create view public.invoices as select 1 as price")
    db.execute("alter table public.sessions add column price integer")
    db.execute("create function public.pay() returns void language sql as ''")

    noticed = set(access_matrix.privileges(db)) - known

    assert {what.partition(":")[0] for what in noticed} == {
        "table session_approval.invoices",
        "view public.invoices",
        "table public.sessions",
        "function public.pay",
    }


def test_a_privilege_on_one_column_is_noticed(db: Connection) -> None:
    before = access_matrix.privileges(db)
    db.execute("grant select (balance_after) on session_approval.credit_ledger to authenticated")

    after = access_matrix.privileges(db)

    [changed] = [what for what in after if after[what] != before[what]]
    assert changed.startswith("table session_approval.credit_ledger:")
    assert after[changed][1] == " and select of balance_after"


def test_every_column_of_the_applications_tables_is_tried(db: Connection) -> None:
    world = access_matrix.populate(db)
    tried: dict[str, set[str]] = {}
    for line in access_matrix.lines(f"reach: {NEW.reach}"):
        for _, request, _ in access_matrix.attempts(line.what, *world.mine_and_theirs("client_A")):
            if request.verb == "update":
                tried.setdefault(request.target, set()).update(request.values)

    assert tried == {
        table: {
            row["column_name"]
            for row in db.execute(
                "select column_name from information_schema.columns"
                " where table_schema = 'public' and table_name = %s",
                (table,),
            )
        }
        for table in ("users", "sessions", "user_credits")
    }


def test_every_door_is_tried(db: Connection) -> None:
    called = {line.what.split()[1] for line in access_matrix.lines("reach")}

    assert {f"function public.{name}" for name in called} == {
        what for what in access_matrix.privileges(db) if what.startswith("function public.")
    }
