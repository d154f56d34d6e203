"""What is installed, compared with what was installed and with the files of this release."""

import re
from collections.abc import Iterator

from scripts import ROOT
from scripts.operate.bundle import version
from scripts.operate.connection import Connection
from scripts.operate.doctor.finding import Finding
from scripts.operate.sql_files import migrations, object_files

_FUNCTION = re.compile(r"create or replace function (\w+\.\w+)\(.*?\bas \$\$(.*?)\$\$;", re.DOTALL)
_TABLE = re.compile(r"create table if not exists (session_approval\.\w+) \((.*?)\n\);", re.DOTALL)
_CONSTRAINT = re.compile(r"^  constraint (\w+)", re.MULTILINE)
_ADDED_COLUMNS = re.compile(r"add_column\('(session_approval\.\w+)', (.*?)\n  \) as c ", re.DOTALL)
_COLUMN_CONSTRAINT = re.compile(r"\bconstraint (\w+) check")
_ADDED_CONSTRAINT = re.compile(
    r"alter table (session_approval\.\w+)\s+add constraint (\w+)", re.IGNORECASE
)
_AGAIN = "make apply DATABASE_URL=... puts it back"
_MATTERS = {
    "function": "every rule lives in these functions",
    "view": "every function answers with the rows of these views",
    "type": "the entry points answer with rows of these types",
    "constraint": "it is the last line of defence when all else fails",
    "index": "without it the functions read whole tables",
    "trigger": "without it a write leaves no ledger, no events and no guarded status",
    "grants": "somebody may call or read more than was meant, or less",
}

# What people reach without a token, or without our functions: there must be nothing.
_OPEN_FUNCTIONS = """
    select d.name
    from session_approval.object_digests() d
    where d.kind = 'function'
      and has_function_privilege('anon', d.name::regprocedure, 'execute')
    order by 1
"""
# Reading the transitions is left out: the guard of sessions does it as the person who writes.
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
_DISABLED_TRIGGERS = """
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


def look(db: Connection) -> Iterator[Finding]:
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
    yield from _not_in_use(db)
    yield from _reachable(db)


def _release(db: Connection) -> Iterator[Finding]:
    """Say which release is installed, and whether it is this one."""
    [installed] = db.execute(
        "select session_approval.version() as version, i.installed_at::text, i.installed_by"
        " from (values (true)) one (row) left join lateral (select * from"
        " session_approval.installs i order by i.id desc limit 1) i on true"
    )
    since = f"installed {installed['installed_at']} by {installed['installed_by']}"
    if installed["version"] == version():
        yield Finding("ok", f"release {installed['version']}, {since}")
    else:
        yield Finding(
            "warning",
            f"release {installed['version']}, {since}; this is {version()}",
            "functions of one release and an API of another were not tested together",
            "make apply DATABASE_URL=... installs this one",
        )


def _drift(db: Connection) -> Iterator[Finding]:
    """Compare everything with what the last install recorded, and the functions with the files."""
    recorded = db.execute(
        "select i.definitions from session_approval.installs i order by i.id desc limit 1"
    ).fetchone()
    installed: dict[str, str] = recorded["definitions"] if recorded else {}
    now = {
        f"{entry['kind']} {entry['name']}": entry["digest"]
        for entry in db.execute("select * from session_approval.object_digests()")
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
                "our tests do not know it, and an uninstall drops it",
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

    An install makes them together with their tables, and does not look for them again.
    """
    constraints = {}
    for file in migrations():
        text = file.read_text()
        pairs = [
            (table, name)
            for table, columns in _TABLE.findall(text)
            for name in _CONSTRAINT.findall(columns)
        ]
        pairs += [
            (table, name)
            for table, columns in _ADDED_COLUMNS.findall(text)
            for name in _COLUMN_CONSTRAINT.findall(columns)
        ]
        for table, name in [*pairs, *_ADDED_CONSTRAINT.findall(text)]:
            constraints[f"constraint {name} on {table}"] = str(file.relative_to(ROOT))
    return constraints


def _differing_from_files(db: Connection) -> set[str]:
    """Return the functions whose body differs from this release's files, or is missing."""
    written = dict(pair for file in object_files() for pair in _FUNCTION.findall(file.read_text()))
    bodies = {
        function["name"]: function["body"]
        for function in db.execute(
            "select f.pronamespace::regnamespace || '.' || f.proname as name, f.prosrc as body"
            " from pg_catalog.pg_proc f where f.oid in (select d.name::regprocedure"
            " from session_approval.object_digests() d where d.kind = 'function')"
        )
    }
    return {name for name in written | bodies if written.get(name) != bodies.get(name)}


def _not_in_use(db: Connection) -> Iterator[Finding]:
    """Find what is there and does not work: triggers, indexes, constraints."""
    for trigger in db.execute(_DISABLED_TRIGGERS):
        yield Finding(
            "error",
            f"trigger {trigger['name']} is disabled",
            _MATTERS["trigger"],
            f"alter table {trigger['name'].rpartition(' ')[2]} enable trigger"
            f" {trigger['name'].partition(' ')[0]}",
        )
    for index in db.execute(_INVALID_INDEXES):
        yield Finding(
            "warning",
            f"index {index['name']} on {index['table']} is invalid",
            "building it was interrupted: it costs every write and helps no query",
            f"reindex index concurrently {index['name']}",
        )
    for constraint in db.execute(_UNVALIDATED):
        yield Finding(
            "warning",
            f"constraint {constraint['name']} on {constraint['table']} is not validated",
            "rows that were there before may break it",
            f"alter table {constraint['table']} validate constraint {constraint['name']}",
        )


def _reachable(db: Connection) -> Iterator[Finding]:
    """Find what people can reach and should not."""
    for function in db.execute(_OPEN_FUNCTIONS):
        yield Finding(
            "error",
            f"anon can execute {function['name']}",
            "it is meant for people who have signed in, or for the server alone",
            f"revoke execute on function {function['name']} from public, anon",
        )
    for relation in db.execute(_OPEN_RELATIONS):
        role, _, table = relation["name"].partition(" on ")
        yield Finding(
            "error",
            f"{role} has privileges on {table}",
            "it holds everybody's history, or decides what a session costs",
            # Which takes everything from the transitions, and grants reading them.
            _AGAIN
            if table == "session_approval.transitions"
            else f"revoke all on {table} from public, {role}",
        )
    for setting in db.execute(_EXPOSED):
        yield Finding(
            "error",
            f"PostgREST exposes the schema session_approval (settings of {setting['name']})",
            "the implementations could be called without their entry points",
            "take session_approval out of the exposed schemas",
        )
