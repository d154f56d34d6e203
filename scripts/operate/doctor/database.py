"""What is installed, beside what was installed and what this release says; it changes nothing."""

import re
from collections.abc import Iterator

from scripts.local import ROOT
from scripts.operate.bundle import version
from scripts.operate.doctor.finding import Database, Finding
from scripts.operate.sql_files import object_files

_FUNCTION = re.compile(r"create or replace function (\w+\.\w+)\(.*?\bas \$\$(.*?)\$\$;", re.DOTALL)
_TABLE = re.compile(r"create table if not exists (session_approval\.\w+) \((.*?)\n\);", re.DOTALL)
_CONSTRAINT = re.compile(r"^  constraint (\w+)", re.MULTILINE)
_ADDED_CONSTRAINT = re.compile(
    r"alter table (session_approval\.\w+)\s+add constraint (\w+)", re.IGNORECASE
)
_AGAIN = "make apply DATABASE_URL=... puts it back"
_MATTERS = {
    "function": "every rule lives in these functions",
    "view": "every function answers with the rows of these views",
    "constraint": "it is the last line of defence when all else fails",
    "index": "the functions wait for whole tables without it",
    "trigger": "writes past it leave no ledger, no events and no guarded status",
    "grants": "somebody may call or read more than was meant, or less",
}

# What people reach without a token, or past the functions: there must be nothing.
_OPEN_FUNCTIONS = """
    select d.name
    from session_approval.object_digests() d
    where d.kind = 'function'
      and has_function_privilege('anon', d.name::regprocedure, 'execute')
    order by 1
"""
# All but reading the transitions, which the guard of sessions does as the person who writes.
_OPEN_RELATIONS = """
    select r.role || ' on session_approval.' || c.relname as name
    from pg_catalog.pg_class c
    cross join unnest(array['anon', 'authenticated']) r (role)
    where c.relnamespace = 'session_approval'::regnamespace
      and c.relkind in ('r', 'v')
      and (
        has_any_column_privilege(r.role, c.oid, 'insert, update, references')
        or (
          has_any_column_privilege(r.role, c.oid, 'select')
          and (r.role, c.oid) <> ('authenticated', 'session_approval.transitions'::regclass)
        )
        or has_table_privilege(r.role, c.oid, 'delete, truncate, trigger')
      )
    order by 1
"""
_EXPOSED = """
    select distinct coalesce(r.rolname::text, 'all roles') as name
    from pg_catalog.pg_db_role_setting s
    left join pg_catalog.pg_roles r on r.oid = s.setrole
    cross join unnest(s.setconfig) setting
    where setting ~ '^pgrst\\.db_(schemas|extra_search_path)=.*\\msession_approval\\M'
"""
_SLEEPING_TRIGGERS = """
    select t.tgname || ' on ' || t.tgrelid::regclass::text as name
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_proc f on f.oid = t.tgfoid
    where f.pronamespace = 'session_approval'::regnamespace
      and t.tgenabled not in ('O', 'A')
    order by 1
"""
_INVALID_INDEXES = """
    select i.indexrelid::regclass::text as name, i.indrelid::regclass::text as "table"
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indrelid
    where not (i.indisvalid and i.indisready)
      and (
        c.relnamespace = 'session_approval'::regnamespace
        or c.oid in ('public.sessions'::regclass, 'public.user_credits'::regclass)
      )
    order by 1
"""
_UNVALIDATED = """
    select k.conname as name, k.conrelid::regclass::text as "table"
    from pg_catalog.pg_constraint k
    where not k.convalidated
      and k.connamespace = 'session_approval'::regnamespace
    order by 1
"""


def look(db: Database) -> Iterator[Finding]:
    """Yield every finding about what is installed."""
    known = db.execute(
        "select to_regprocedure('session_approval.object_digests()') is not null as yes"
    ).fetchone()
    if not known or not known["yes"]:
        yield Finding(
            "warning",
            f"what is installed is older than {version()}: it does not know its release",
            "it cannot be compared with what was installed",
            "make apply DATABASE_URL=... upgrades it",
        )
        return
    yield from _release(db)
    yield from _drift(db)
    yield from _asleep(db)
    yield from _doors(db)


def _release(db: Database) -> Iterator[Finding]:
    """Say which release is installed, and whether it is this one."""
    [here] = db.execute(
        "select session_approval.version() as version, i.installed_at::text, i.installed_by"
        " from (values (true)) one (row) left join lateral (select * from"
        " session_approval.installs i order by i.id desc limit 1) i on true"
    )
    since = f"installed {here['installed_at']} by {here['installed_by']}"
    if here["version"] == version():
        yield Finding("ok", f"release {here['version']}, {since}")
    else:
        yield Finding(
            "warning",
            f"release {here['version']}, {since}; this is {version()}",
            "functions of one release and an API of another were not tested together",
            "make apply DATABASE_URL=... installs this one",
        )


def _drift(db: Database) -> Iterator[Finding]:
    """Compare everything with what the last install recorded, and the functions with the files."""
    recorded = db.execute(
        "select i.definitions from session_approval.installs i order by i.id desc limit 1"
    ).fetchone()
    installed: dict[str, str] = recorded["definitions"] if recorded else {}
    now = {
        f"{found['kind']} {found['name']}": found["digest"]
        for found in db.execute("select * from session_approval.object_digests()")
    }
    constraints = _constraints()
    for name, file in constraints.items():
        if name not in now:
            yield Finding(
                "error", f"{name} is missing", _MATTERS["constraint"], f"add it as {file} has it"
            )
    # The view of people is each project's own to redefine.
    differing = {
        name: "missing" if name not in now else "new" if name not in installed else "changed"
        for name in sorted(installed | now)
        if installed.get(name) != now.get(name)
        and name != "view people"
        and not (name in constraints and name not in now)
    }
    for name, how in differing.items():
        kind = name.partition(" ")[0]
        if how == "new":
            yield Finding(
                "warning",
                f"{name} is not from the last install",
                "nobody tests what others keep among ours, and a rollback drops it",
                "move it to a schema of its own",
            )
        else:
            yield Finding(
                "warning" if kind in ("index", "grants") else "error",
                f"{name} is {how} since the last install",
                _MATTERS[kind],
                _AGAIN if kind != "constraint" else "drop it, and add it as sql/migrations has it",
            )
    others = _differing_from_files(db) - {
        name.removeprefix("function ").partition("(")[0] for name in differing
    }
    for name in sorted(others):
        yield Finding(
            "warning",
            f"function {name} is not what this release's file says",
            "it was installed from other files",
            "make apply DATABASE_URL=... installs this release",
        )
    if not differing and not others and constraints.keys() <= now.keys():
        yield Finding("ok", f"all {len(now)} definitions are what was installed, from these files")


def _constraints() -> dict[str, str]:
    """Return the constraints on our tables that the migrations make, each with its file.

    An install makes them with their tables, and does not look for them again.
    """
    found = {}
    for file in sorted((ROOT / "sql" / "migrations").glob("*.sql")):
        text = file.read_text()
        pairs = [
            (table, name)
            for table, columns in _TABLE.findall(text)
            for name in _CONSTRAINT.findall(columns)
        ]
        for table, name in [*pairs, *_ADDED_CONSTRAINT.findall(text)]:
            found[f"constraint {name} on {table}"] = str(file.relative_to(ROOT))
    return found


def _differing_from_files(db: Database) -> set[str]:
    """Return the functions whose body is not the one in this release's files, or not there."""
    written = dict(pair for file in object_files() for pair in _FUNCTION.findall(file.read_text()))
    bodies = {
        found["name"]: found["body"]
        for found in db.execute(
            "select f.pronamespace::regnamespace || '.' || f.proname as name, f.prosrc as body"
            " from pg_catalog.pg_proc f where f.oid in (select d.name::regprocedure"
            " from session_approval.object_digests() d where d.kind = 'function')"
        )
    }
    return {name for name in written | bodies if written.get(name) != bodies.get(name)}


def _asleep(db: Database) -> Iterator[Finding]:
    """Find what is there and does not work: triggers, indexes, constraints."""
    for found in db.execute(_SLEEPING_TRIGGERS):
        yield Finding(
            "error",
            f"trigger {found['name']} is disabled",
            _MATTERS["trigger"],
            f"alter table {found['name'].rpartition(' ')[2]} enable trigger"
            f" {found['name'].partition(' ')[0]}",
        )
    for found in db.execute(_INVALID_INDEXES):
        yield Finding(
            "warning",
            f"index {found['name']} on {found['table']} is invalid",
            "building it was interrupted: it costs every write and helps no query",
            f"reindex index concurrently {found['name']}",
        )
    for found in db.execute(_UNVALIDATED):
        yield Finding(
            "warning",
            f"constraint {found['name']} on {found['table']} is not validated",
            "rows that were there before may break it",
            f"alter table {found['table']} validate constraint {found['name']}",
        )


def _doors(db: Database) -> Iterator[Finding]:
    """Find what people can reach and should not."""
    for found in db.execute(_OPEN_FUNCTIONS):
        yield Finding(
            "error",
            f"anon can execute {found['name']}",
            "it is meant for people who have signed in, or for the server alone",
            f"revoke execute on function {found['name']} from public, anon",
        )
    for found in db.execute(_OPEN_RELATIONS):
        role, _, table = found["name"].partition(" on ")
        yield Finding(
            "error",
            f"{role} has privileges on {table}",
            "it holds everybody's history, or decides what a session costs",
            # Which takes everything from the transitions, and grants reading them.
            _AGAIN
            if table == "session_approval.transitions"
            else f"revoke all on {table} from public, {role}",
        )
    for found in db.execute(_EXPOSED):
        yield Finding(
            "error",
            f"PostgREST exposes the schema session_approval (settings of {found['name']})",
            "the rooms behind the doors would be called past them",
            "take session_approval out of the exposed schemas",
        )
