"""Who reaches what: reads access_matrix.txt, and tries it as its people, by SQL and by HTTP."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
from psycopg import sql

from scripts.operate import psql
from tests import actors
from tests.actors import Connection
from tests.servers import Server

TABLE = Path(__file__).with_name("access_matrix.txt")
ROLES = ["anon", "people", "service"]
ACTORS = [
    *("anon", "client_A", "client_B", "therap_A", "therap_B", "partner"),
    *("inactive", "anonym", "nobody", "no_sub", "service"),
]
BOTH = {"client": ("client_A", "client_B"), "therapist": ("therap_A", "therap_B")}
KINDS_OF_PROJECT = {"new", "on", "off"}


# The file.


@dataclass(frozen=True)
class Row:
    """One row of a table: what it is about, and a word for each role or actor."""

    what: str
    cells: dict[str, str]


def _section(title: str) -> list[str]:
    """Return the lines of a section; an indented line continues the line before it."""
    text = re.sub(r"\n[ \t]+(?=\S)", " ", TABLE.read_text())
    [section] = re.findall(rf"^\[{re.escape(title)}\]$(.*?)(?=^\[|\Z)", text, re.M | re.S)
    return [line for line in section.splitlines() if line and not line.startswith("#")]


def _columns(header: str, names: list[str], where: str) -> dict[str, int]:
    """Return the column of each role or actor in a kind of project."""
    columns: dict[str, int] = {}
    others = None
    for number, column in enumerate(header.split()):
        who, _, kinds = column.partition("@")
        assert set(kinds.split(",")) <= {"", *KINDS_OF_PROJECT}, f"{kinds} in {header!r}"
        if kinds and where not in kinds.split(","):
            continue
        if who == "others":
            others = number
            continue
        for word in who.split(","):
            for name in BOTH.get(word, (word,)):
                assert name in set(names) - set(columns), f"{name} in {header!r}"
                columns[name] = number
    missing = [name for name in names if name not in columns]
    assert (others is not None) == bool(missing), f"no column for {missing} in {header!r}"
    return columns | {name: others for name in missing if others is not None}


def _table(title: str, names: list[str], where: str) -> Iterator[tuple[str | None, Row]]:
    """Yield the rows of a table, each with the function above it in the table of calls."""
    header, *lines = _section(title)
    columns = _columns(header, names, where)
    function = None
    for line in lines:
        if re.match(r"\w+:", line):
            function = line
            continue
        *cells, what = line.split(maxsplit=len(header.split()))
        assert len(cells) == len(header.split()), f"too few words in {line!r}"
        yield function, Row(what, {name: cells[number] for name, number in columns.items()})


def relations(where: str) -> list[Row]:
    """Return what each role may do with each relation, in a kind of project."""
    return [
        row
        for title in ("our relations", "the application's relations")
        for _, row in _table(title, ROLES, where)
    ]


def columns(relation: str) -> dict[str, tuple[str, str]]:
    """Return the columns of one of the application's tables: the kind and a value to write."""
    lines = [line.split() for line in _section(f"columns of {relation}")[1:]]
    return {column: (kind, value) for column, kind, value in lines}


def executable() -> dict[str, tuple[str, ...]]:
    """Return which roles may execute which function; of any other, none may."""
    entry_points = [line for line in _section("calls")[1:] if re.match(r"\w+:", line)]
    allowed = {}
    for line in [*entry_points, *_section("other functions")]:
        name, _, roles = line.partition(": ")
        assert set(roles.split()) <= set(ROLES), line
        cells = tuple("X" if role in roles.split() else "-" for role in ROLES)
        allowed[f"function session_approval.{name}"] = cells
        if line in entry_points:
            allowed[f"function public.{name}"] = cells
    return allowed


def calls(where: str = "new") -> list[Row]:
    """Return the requests that call a function."""
    return [
        Row(f"call {(function or '').partition(':')[0]} {row.what.removeprefix('()')}", row.cells)
        for function, row in _table("calls", ACTORS, where)
    ]


def tables(where: str) -> list[Row]:
    """Return the requests that read or write the application's tables, in a kind of project."""
    reads = [Row(f"read {row.what}", row.cells) for _, row in _table("reads", ACTORS, where)]
    return reads + [row for _, row in _table("writes", ACTORS, where)]


# What the catalogue says.

_CATALOGUE = """
with roles (position, name) as (
  values (1, 'anon'), (2, 'authenticated'), (3, 'service_role')
),
relations as (
  select
    c.oid, c.relkind, format('%s.%s', c.relnamespace::regnamespace, c.relname) as name,
    case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end as kind
  from pg_class c
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and c.relnamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
),
columns as (
  select r.oid, format('column %s.%s', r.name, a.attname) as what, a.attname as name
  from relations r
  join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
  where r.relkind <> 'S'
),
letters (letter, privilege, on_columns) as (
  values
    ('r', 'select', true), ('a', 'insert', true), ('w', 'update', true), ('d', 'delete', false),
    ('D', 'truncate', false), ('x', 'references', true), ('t', 'trigger', false),
    ('m', 'maintain', false)
)
select
  r.kind || ' ' || r.name as what,
  roles.position,
  case r.relkind
    when 'S' then concat(
      case when has_sequence_privilege(roles.name, r.oid, 'select') then 'r' end,
      case when has_sequence_privilege(roles.name, r.oid, 'update') then 'w' end,
      case when has_sequence_privilege(roles.name, r.oid, 'usage') then 'U' end)
    else (
      select string_agg(l.letter, '' order by position(l.letter in 'rawdDxtm'))
      from letters l
      where (l.letter <> 'm' or current_setting('server_version_num')::integer >= 170000)
        and has_table_privilege(
          roles.name, r.oid, case when l.letter = 'm' and
            current_setting('server_version_num')::integer < 170000 then 'select'
            else l.privilege end)
    )
  end as letters
from relations r
cross join roles

union all

-- A column that has more privileges than its relation has.
select more.what, roles.position, (
    select string_agg(l.letter, '' order by position(l.letter in 'rawdDxtm'))
    from letters l
    where l.on_columns
      and has_column_privilege(roles.name, more.oid, more.name, l.privilege)
      and not has_table_privilege(roles.name, more.oid, l.privilege)
  )
from columns more
cross join roles
where exists (
  select
  from letters l
  cross join roles any_role
  where l.on_columns
    and has_column_privilege(any_role.name, more.oid, more.name, l.privilege)
    and not has_table_privilege(any_role.name, more.oid, l.privilege)
)

union all

select
  format('function %s.%s', f.pronamespace::regnamespace, f.proname), roles.position,
  case when has_function_privilege(roles.name, f.oid, 'execute') then 'X' else '' end
from pg_proc f
cross join roles
where f.pronamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
  and not exists (select from pg_depend d where d.objid = f.oid and d.deptype = 'e')

union all

select
  'schema session_approval', roles.position, concat(
    case when has_schema_privilege(roles.name, 'session_approval', 'usage') then 'U' end,
    case when has_schema_privilege(roles.name, 'session_approval', 'create') then 'C' end)
from roles

order by what, position
"""


def privileges(db: Connection) -> dict[str, tuple[str, ...]]:
    """Return what the catalogue lets each role do with each thing in the database."""
    allowed: dict[str, tuple[str, ...]] = {}
    for row in db.execute(_CATALOGUE).fetchall():
        allowed[row["what"]] = (*allowed.get(row["what"], ()), row["letters"] or "-")
    return allowed


def column_names(db: Connection, relation: str) -> set[str]:
    """Return the columns of a relation."""
    rows = db.execute(
        """
        select a.attname
        from pg_attribute a
        where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
        """,
        (relation,),
    )
    return {row["attname"] for row in rows}


def differences(db: Connection, where: str) -> list[str]:
    """Compare the file with the catalogue; each sentence names the line to add or to change."""
    allowed = privileges(db)
    declared, lists = executable(), {}
    for row in relations(where):
        what, _, listed = row.what.partition(": ")
        declared[what] = tuple(row.cells[role] for role in ROLES)
        if what.startswith("table public."):
            lists[what] = set(columns(what.removeprefix("table ")))
        elif what.startswith(("table", "view")):
            lists[what] = set(listed.split())
    if db.info.server_version < 170000:  # the privilege m is new in 17
        declared = {what: tuple(c.replace("m", "") for c in declared[what]) for what in declared}

    wrong = [f"{what} is gone: remove its row" for what in declared if what not in allowed]
    for what, cells in allowed.items():
        if cells != declared.get(what, ("-",) * len(ROLES)):
            granted = ", ".join(f"{role} {cell}" for role, cell in zip(ROLES, cells, strict=True))
            row_of_it = " ".join(declared[what]) if what in declared else "no row, which is - - -"
            wrong.append(f"{what}: the database has {granted}; the file has {row_of_it}")
    for what, listed_columns in lists.items():
        if what in allowed:
            name = what.partition(" ")[2]
            ours = f"the list of columns in the row {what!r}"
            theirs = f"the section [columns of {name}] (column, kind, a value to write)"
            place = theirs if name.startswith("public.") else ours
            columns_there = column_names(db, name)
            wrong += [f"add {c} to {place}" for c in sorted(columns_there - listed_columns)]
            wrong += [f"remove {c} from {place}" for c in sorted(listed_columns - columns_there)]
    return wrong


# The projects in which it holds.

# Everything for everybody, by default and in fact.
_DEFAULTS = """
alter default privileges grant all on tables to anon, authenticated;
alter default privileges grant all on functions to anon, authenticated;
alter default privileges grant all on sequences to anon, authenticated;
alter default privileges in schema public grant all on tables to service_role;
alter default privileges in schema public grant all on functions to service_role;
"""
_GRANTED = "grant all on public.users, public.sessions, public.user_credits to anon, authenticated;"
_SECURITY_OFF = "".join(
    f"alter table public.{table} disable row level security;"
    for table in ("users", "sessions", "user_credits")
)
_ANYTHING_GOES = "".join(
    f'create policy "Anything goes" on public.{table} using (true) with check (true);'
    for table in ("users", "sessions", "user_credits")
)


@dataclass(frozen=True)
class Project:
    """What a project did before the install, and its name in the file: new, on or off."""

    where: str
    before_its_tables: str = ""
    before_the_install: str = ""

    @contextmanager
    def database(self, server: Server) -> Iterator[str]:
        """Lend the address of a database of this kind."""
        name = f"test_matrix_{uuid4().hex[:8]}"
        address = server.create(name, "template0")
        try:
            psql.apply(address, [psql.SUPABASE])
            _run(address, self.before_its_tables)
            psql.apply(address, [psql.STARTER])
            _run(address, self.before_the_install)
            psql.apply(address, [psql.INSTALL])
            yield address
        finally:
            server.drop(name)


def _run(address: str, statements: str) -> None:
    with actors.connect(address) as db:
        db.execute(sql.SQL(statements))  # type: ignore[arg-type]


PROJECTS = {
    "new": Project("new"),
    "new, defaults of older ones": Project("new", _DEFAULTS),
    "older, security on": Project("on", _DEFAULTS, _GRANTED),
    "older, security off": Project("off", _DEFAULTS, _GRANTED + _SECURITY_OFF),
    "older, policies let all through": Project("off", "", _GRANTED + _ANYTHING_GOES),
}


# The people in the file, and their rows.


@dataclass(frozen=True)
class Half:
    """One client and one therapist: their rows by name, and the words that only they may read."""

    ids: dict[str, Any]
    words: frozenset[str]

    def is_in(self, text: str) -> bool:
        """Say whether a text contains one of these words."""
        return any(word in text for word in self.words)


@dataclass(frozen=True)
class World:
    """Pairs of people that have nothing to do with each other, and some people without a pair."""

    halves: dict[str, Half]
    subjects: dict[str, UUID]

    def mine_and_theirs(self, actor: str) -> tuple[Half, Half]:
        """Return an actor's own half and another one; for an actor without one, two others."""
        mine = {"client_B": "B", "therap_B": "B", "inactive": "I"}.get(actor, "A")
        return self.halves[mine], self.halves["B" if mine == "A" else "A"]

    def claims(self, actor: str) -> dict[str, Any]:
        """Return the claims of an actor's token."""
        role = {"anon": "anon", "service": "service_role"}.get(actor, "authenticated")
        subject = {"sub": str(self.subjects[actor])} if actor in self.subjects else {}
        return {"role": role, **subject, "is_anonymous": actor == "anonym"}


def populate(db: Connection) -> World:
    """Make the pairs, each with credits and sessions: one waits, one is approved, one has begun."""
    halves = {name: _half(db, name) for name in "ABI"}
    subjects = {
        f"{who[:6]}_{name}": halves[name].ids[who]
        for name in "AB"
        for who in ("client", "therapist")
    }
    subjects["inactive"] = halves["I"].ids["client"]
    actors.change(db, "users", subjects["inactive"], is_active=False)
    subjects["partner"] = actors.add_person(db, "partner").id
    subjects["anonym"] = actors.add_person(db, "individual").id
    subjects["nobody"] = uuid4()
    return World(halves, subjects)


def _half(db: Connection, name: str) -> Half:
    therapist = actors.add_person(db, "therapist", f"Therapist of {name}")
    client = actors.add_person(db, "individual", f"Client of {name}")
    lot = actors.give_credits(db, client, 9)
    sessions = {}
    for state, starts_in in {"begun": 120, "approved": 6, "pending": 240}.items():
        [moment] = db.execute("select now() + %s as at", (timedelta(minutes=starts_in),))
        sessions[state] = actors.propose(
            db, therapist, client, p_start_time=moment["at"], p_notes=f"{state} of {name}"
        )
        if state != "pending":
            actors.approve(db, client, sessions[state])
    begun = sessions["begun"]
    past = {column: begun[column] - timedelta(hours=3) for column in ("start_time", "end_time")}
    actors.change(db, "sessions", begun["id"], status="in_progress", **past)
    ids: dict[str, Any] = {"client": client.id, "therapist": therapist.id, "lot": lot}
    for state, session in sessions.items():
        ids[state] = session["id"]
        ids[f"{state}.start"] = session["start_time"] + timedelta(minutes=1)
        ids[f"{state}.end"] = session["end_time"] + timedelta(minutes=1)
    words = {str(value) for value in ids.values() if isinstance(value, UUID)}
    words |= {client.email, client.full_name, therapist.email, therapist.full_name}
    words |= {f"{state} of {name}" for state in sessions}
    return Half(ids, frozenset(words))


# Requests and their results.


@dataclass(frozen=True)
class Request:
    """One thing to try: to call, read, insert, update, delete or truncate."""

    verb: str
    target: str  # a function or a table
    row: Any = None  # the id of the row, where there is one
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The answer to a request: a refusal, or the number of rows and their text."""

    refusal: str | None = None
    rows: int = 0
    text: str = ""


Attempt = Callable[[Request], Result]


def attempts(what: str, half: Half, other: Half) -> Iterator[tuple[str, Request, bool]]:
    """Yield the requests of a row of the file, and whether each names a row of its half."""
    everything = {**half.ids, **{f"other.{name}": value for name, value in other.ids.items()}}
    verb, target, *rest = what.split()
    name_of_row = rest.pop(0) if verb in ("read", "update", "delete") else None
    row = everything[name_of_row] if name_of_row else None
    names_a_half = verb != "call" or any(w.partition("=")[2] in everything for w in rest)
    for chosen in _one_by_one(target, *rest) if verb == "update" else [rest]:
        pairs = [word.partition("=")[::2] for word in chosen]
        own = [(name, re.sub(r"^own\b", name_of_row or "", word)) for name, word in pairs]
        values = {name: _value(word, everything) for name, word in own}
        yield (
            " ".join([*what.split()[:2], *chosen]),
            Request(verb, target, row, values),
            names_a_half,
        )


def _one_by_one(table: str, word: str) -> list[list[str]]:
    """Return the writes that a row of the file stands for: a column and a value in each."""
    name, sign, values = word.partition("=")
    if sign:
        return [[f"{name}={value}"] for value in values.split(",")]
    known = columns(f"public.{table}").items()
    of_the_kind = [[f"{column}={value}"] for column, (kind, value) in known if kind == word]
    assert of_the_kind, f"no column of public.{table} is of the kind {word}"
    return of_the_kind


def _value(word: str, everything: dict[str, Any]) -> Any:
    known = {
        "new": uuid4(),
        "null": None,
        "true": True,
        "false": False,
        "later": "2031-05-06T10:00Z",
        "later.end": "2031-05-06T11:00Z",
    }
    return everything[word] if word in everything else known.get(word, word)


def outcome(
    world: World, actor: str, what: str, attempt: Attempt, *, one_of_each: bool = False
) -> dict[str, str]:
    """Try a row of the file as an actor: on what is theirs, then on what is others'; by attempt."""
    mine, theirs = world.mine_and_theirs(actor)
    answers: dict[str, str] = {}
    pairs = zip(attempts(what, mine, theirs), attempts(what, theirs, mine), strict=True)
    for (label, own, names_a_half), (_, foreign, _) in islice(pairs, 1 if one_of_each else None):
        one = attempt(own)
        other = attempt(foreign) if names_a_half else one
        words = [
            _word(one, one.rows > 0 if names_a_half else mine.is_in(one.text)),
            _word(other, other.rows > 0 if names_a_half else theirs.is_in(other.text)),
        ]
        for half in world.halves.values():
            if names_a_half and half not in (mine, theirs) and half.is_in(one.text + other.text):
                words.append("LEAK")
        answers[label] = "/".join(dict.fromkeys(words))
    return answers


def _word(result: Result, is_visible: bool) -> str:
    return result.refusal or ("yes" if is_visible else "0")


# By SQL.


def _refusal(state: str | None) -> str:
    """Say how something was refused, in the table's words."""
    if state is not None and state.startswith("PT"):
        return state[2:]
    return {"42501": "-", "23503": "tied"}.get(state or "", f"error {state}")


@contextmanager
def by_sql(db: Connection, claims: dict[str, Any]) -> Iterator[Attempt]:
    """Try things as the role and with the claims that PostgREST would make of a token."""

    def attempt(request: Request) -> Result:
        try:
            cursor = db.execute(*_statement(request))
            rows = cursor.fetchall() if cursor.description else []
            text = "".join(json.dumps(row, default=str) for row in rows)
            return Result(rows=1 if request.verb == "truncate" else cursor.rowcount, text=text)
        except psycopg.Error as error:
            return Result(refusal=_refusal(error.diag.sqlstate))
        finally:
            db.execute("rollback to before_the_attempt")

    with db.transaction(force_rollback=True):
        db.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(claims),))
        db.execute(sql.SQL("set local role {}").format(sql.Identifier(claims["role"])))
        db.execute("savepoint before_the_attempt")
        yield attempt


def _statement(request: Request) -> tuple[sql.Composed, dict[str, Any]]:
    target = sql.SQL("public.{}").format(sql.Identifier(request.target))
    names = [sql.Identifier(name) for name in request.values]
    slots = [sql.Placeholder(name) for name in request.values]
    equal = {
        sign: sql.SQL(", ").join(
            sql.SQL(sign).join(pair) for pair in zip(names, slots, strict=True)
        )
        for sign in (" => ", " = ")
    }
    comma = sql.SQL(", ")
    statement = {
        "call": sql.SQL("select * from {}({})").format(target, equal[" => "]),
        "read": sql.SQL("select * from {} where id = %(row of it)s").format(target),
        "insert": sql.SQL("insert into {} ({}) values ({})").format(
            target, comma.join(names), comma.join(slots)
        ),
        "update": sql.SQL("update {} set {} where id = %(row of it)s").format(target, equal[" = "]),
        "delete": sql.SQL("delete from {} where id = %(row of it)s").format(target),
        "truncate": sql.SQL("truncate {} cascade").format(target),
    }[request.verb]
    values = {  # a moment as JSON has it: in ISO 8601
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in request.values.items()
    }
    return statement, {**values, "row of it": request.row}


# By HTTP: supabase-js says no more than this.


@contextmanager
def by_http(url: str, secret: str, claims: dict[str, Any]) -> Iterator[Attempt]:
    """Try things through PostgREST, which must be set to roll back every request."""
    headers = {"apikey": "sb_publishable_test"}
    if claims["role"] != "anon":
        headers["Authorization"] = f"Bearer {jwt.encode(claims, secret, 'HS256')}"

    with httpx.Client(base_url=url, headers=headers, timeout=30) as http:

        def attempt(request: Request) -> Result:
            method, path = {
                "call": ("POST", f"/rpc/{request.target}"),
                "read": ("GET", f"/{request.target}"),
                "insert": ("POST", f"/{request.target}"),
                "update": ("PATCH", f"/{request.target}"),
                "delete": ("DELETE", f"/{request.target}"),
            }[request.verb]
            answer = http.request(
                method,
                path,
                params={} if request.row is None else {"id": f"eq.{request.row}"},
                headers={
                    "Prefer": "count=exact, return=minimal",
                    "Content-Type": "application/json",
                },
                content=None if method == "GET" else json.dumps(request.values, default=str),
            )
            if answer.is_error:
                return Result(refusal=_refusal(answer.json()["code"]))
            if request.verb in ("call", "read"):
                return Result(rows=len(answer.json()), text=answer.text)
            return Result(rows=int(answer.headers["Content-Range"].rpartition("/")[2]))

        yield attempt
