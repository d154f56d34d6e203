"""Who reaches what: reads access_matrix.txt, and tries it as its people, by SQL and by HTTP."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
from psycopg import sql

from scripts.local import database
from tests import actors
from tests.actors import Connection
from tests.servers import Server

TABLE = Path(__file__).with_name("access_matrix.txt")
ROLES = ["anon", "people", "service"]
ACTORS = [
    *("anon", "client_A", "client_B", "therap_A", "therap_B", "partner"),
    *("inactive", "anonym", "nobody", "no_sub", "service"),
]


# The table.


@dataclass(frozen=True)
class Line:
    """One row of the table: what its section and its columns say of one thing."""

    section: str
    cells: tuple[str, ...]
    what: str


def lines(*sections: str) -> list[Line]:
    """Read rows of the table; a row goes on, indented, for as long as it likes."""
    section, found = "", []
    text = re.sub(r"\n[ \t]+(?=\S)", " ", TABLE.read_text())
    for line in text.splitlines():
        if named := re.fullmatch(r"\[(.+)\]", line):
            section = named[1]
        elif line and not line.startswith("#"):
            head = ROLES if section.startswith("privileges") else ACTORS
            if line.split() != head and section in sections:
                *cells, what = line.split(maxsplit=len(head))
                assert len(cells) == len(head), line
                found.append(Line(section, tuple(cells), what))
    assert found, sections
    return found


# What the catalogue says.

_CATALOGUE = """
with roles (position, name) as (
  values (1, 'anon'), (2, 'authenticated'), (3, 'service_role')
),
relations as (
  select
    c.oid, c.relkind, format('%s %s.%s',
      case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end,
      c.relnamespace::regnamespace, c.relname) as what,
    case c.relkind when 'S' then '{}' else array(
      select a.attname::text
      from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      order by a.attnum) end as columns
  from pg_class c
  where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and c.relnamespace in ('public'::regnamespace, 'session_approval'::regnamespace)
),
letters (letter, privilege, on_columns) as (
  values
    ('r', 'select', true), ('a', 'insert', true), ('w', 'update', true), ('d', 'delete', false),
    ('D', 'truncate', false), ('x', 'references', true), ('t', 'trigger', false),
    ('m', 'maintain', false)
)
select
  r.what || case when r.columns <> '{}' then ': ' else '' end || array_to_string(r.columns, ' ')
    as what,
  roles.position,
  case r.relkind
    when 'S' then concat(
      case when has_sequence_privilege(roles.name, r.oid, 'select') then 'r' end,
      case when has_sequence_privilege(roles.name, r.oid, 'update') then 'w' end,
      case when has_sequence_privilege(roles.name, r.oid, 'usage') then 'U' end)
    else concat(
      (
        select string_agg(l.letter, '' order by position(l.letter in 'rawdDxtm'))
        from letters l
        where (l.letter <> 'm' or current_setting('server_version_num')::integer >= 170000)
          and has_table_privilege(
            roles.name, r.oid, case when l.letter = 'm' and
              current_setting('server_version_num')::integer < 170000 then 'select'
              else l.privilege end)
      ),
      (
        select string_agg(
          format(' and %s of %s', l.privilege, c.name), '' order by c.name, l.letter)
        from letters l
        cross join unnest(r.columns) c (name)
        where l.on_columns
          and has_column_privilege(roles.name, r.oid, c.name, l.privilege)
          and not has_table_privilege(roles.name, r.oid, l.privilege)
      ))
  end as letters
from relations r
cross join roles

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
    found: dict[str, tuple[str, ...]] = {}
    for row in db.execute(_CATALOGUE).fetchall():
        found[row["what"]] = (*found.get(row["what"], ()), row["letters"] or "-")
    return found


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
    """What a project did before the install, and the section of the table that holds in it."""

    reach: str
    before_its_tables: str = ""
    before_the_install: str = ""

    @property
    def privileges(self) -> str:
        """Return the section on the privileges on its own tables."""
        return self.reach.partition(",")[0]

    @contextmanager
    def database(self, server: Server) -> Iterator[str]:
        """Lend the address of a database of this kind."""
        name = f"test_matrix_{uuid4().hex[:8]}"
        address = server.create(name, "template0")
        try:
            database.apply(address, [database.SUPABASE])
            _run(address, self.before_its_tables)
            database.apply(address, [database.STARTER])
            _run(address, self.before_the_install)
            database.apply(address, [database.INSTALL])
            yield address
        finally:
            server.drop(name)


def _run(address: str, statements: str) -> None:
    with actors.connect(address) as db:
        db.execute(sql.SQL(statements))  # type: ignore[arg-type]


OLDER = "older project, row security"
PROJECTS = {
    "new": Project("new project"),
    "new, defaults of older ones": Project("new project", _DEFAULTS),
    "older, security on": Project(f"{OLDER} on", _DEFAULTS, _GRANTED),
    "older, security off": Project(f"{OLDER} off", _DEFAULTS, _GRANTED + _SECURITY_OFF),
    "older, policies let all through": Project(f"{OLDER} off", "", _GRANTED + _ANYTHING_GOES),
}


# Those whom it is about, and what is theirs.


@dataclass(frozen=True)
class Half:
    """One client and one therapist: their rows by name, and the words that only they may read."""

    ids: dict[str, Any]
    words: frozenset[str]

    def is_in(self, text: str) -> bool:
        """Say whether a text tells anything of theirs."""
        return any(word in text for word in self.words)


@dataclass(frozen=True)
class World:
    """Pairs of people who have nothing to do with each other, and some beside them."""

    halves: dict[str, Half]
    subjects: dict[str, UUID]

    def mine_and_theirs(self, actor: str) -> tuple[Half, Half]:
        """Return the half that somebody belongs to, and another; of who has none, two others'."""
        mine = {"client_B": "B", "therap_B": "B", "inactive": "I"}.get(actor, "A")
        return self.halves[mine], self.halves["B" if mine == "A" else "A"]

    def claims(self, actor: str) -> dict[str, Any]:
        """Return the claims of somebody's token."""
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


# What they try.


@dataclass(frozen=True)
class Request:
    """One thing to try: to call, read, insert, update, delete or truncate."""

    verb: str
    target: str  # a function or a table
    row: Any = None  # the id of the row, where there is one
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What became of it: refused, or so many rows, and what they say."""

    refusal: str | None = None
    rows: int = 0
    text: str = ""


Attempt = Callable[[Request], Result]


def attempts(what: str, half: Half, other: Half) -> Iterator[tuple[str, Request, bool]]:
    """Yield what a row of the table asks for, and whether it is about its half alone."""
    everything = {**half.ids, **{f"other.{name}": value for name, value in other.ids.items()}}
    verb, target, *rest = what.split()
    row = everything[rest.pop(0)] if verb in ("read", "update", "delete") else None
    each = rest[:1] == ["each"]
    pairs = [pair.partition("=")[::2] for pair in rest[each:]]
    names_a_half = verb != "call" or any(word in everything for _, word in pairs)
    for chosen in [[pair] for pair in pairs] if each else [pairs]:
        values = {name: _value(word, everything) for name, word in chosen}
        label = " ".join([verb, target, *(f"{name}={word}" for name, word in chosen)])
        yield label, Request(verb, target, row, values), names_a_half


def _value(word: str, everything: dict[str, Any]) -> Any:
    known = {"new": uuid4(), "null": None, "true": True, "false": False}
    return everything[word] if word in everything else known.get(word, word)


def outcome(world: World, actor: str, what: str, attempt: Attempt) -> dict[str, str]:
    """Try a row of the table as somebody: what is theirs, then what is others'; by attempt."""
    mine, theirs = world.mine_and_theirs(actor)
    found: dict[str, str] = {}
    for (label, own, names_a_half), (_, foreign, _) in zip(
        attempts(what, mine, theirs), attempts(what, theirs, mine), strict=True
    ):
        one = attempt(own)
        other = attempt(foreign) if names_a_half else one
        told = [
            _told(one, one.rows > 0 if names_a_half else mine.is_in(one.text)),
            _told(other, other.rows > 0 if names_a_half else theirs.is_in(other.text)),
        ]
        for half in world.halves.values():
            if names_a_half and half not in (mine, theirs) and half.is_in(one.text + other.text):
                told.append("LEAK")
        found[label] = "/".join(dict.fromkeys(told))
    return found


def _told(result: Result, found: bool) -> str:
    return result.refusal or ("yes" if found else "0")


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
    return statement, {**request.values, "row of it": request.row}


# By HTTP: supabase-js says no more than this.


@contextmanager
def by_http(url: str, secret: str, claims: dict[str, Any]) -> Iterator[Attempt]:
    """Try things through PostgREST, which must be set to undo whatever it is asked to do."""
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
