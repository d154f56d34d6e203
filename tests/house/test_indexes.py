"""An act reads few rows however many there are, and every index of ours is what makes it so."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from psycopg.types.json import Jsonb

from tests import actors
from tests.actors import Connection, Person, approve, call_as, propose
from tests.servers import Server

OTHERS = 4000  # other people's sessions, of a client each
OWN = 300  # sessions that the two people had before
MANY = 250  # rows of a table, for one act; a history has 100 entries
EXCEPTIONS = {"list_sessions": OWN + 50}  # it sorts a person's own sessions, then cuts a page

_FILLED = f"""
set session_replication_role = replica;  -- no trigger: thousands of rows in a moment

insert into public.users (id, email, full_name, user_type)
select
  gen_random_uuid(), n || '@example.org', 'Other',
  case when n <= 10 then 'therapist' else 'individual' end
from generate_series(1, {OTHERS} + 10) n;

with clients as (
  select u.id, row_number() over () as n from public.users u where u.user_type = 'individual'
),
sessions as (
  select
    c.id as user_id, t.id as therapist_id, now() + c.n * interval '1 hour' as start_time,
    case when c.n % 2 = 0 then 'pending_approval' else 'scheduled' end as status, c.n::text as key
  from clients c
  join (
    select u.id, row_number() over () as n from public.users u where u.user_type = 'therapist'
  ) t on t.n = 1 + c.n % 10
)
insert into public.sessions (
  user_id, therapist_id, start_time, end_time, status,
  requires_approval, created_by, request_key, approval_expires_at
)
select
  s.user_id, s.therapist_id, s.start_time, s.start_time + interval '30 minutes', s.status,
  true, s.therapist_id, s.key, s.start_time
from sessions s;

insert into public.user_credits (user_id, user_type, credits_balance, expires_at)
select s.user_id, 'individual', 3, now() + interval '1 year' from public.sessions s;
"""
_CANCELLED = """
update public.sessions s
set status = 'cancelled'
where s.id in (select s.id from public.sessions s where s.status = 'scheduled' limit 400)
"""
_HAD = f"""
insert into public.sessions (
  user_id, therapist_id, start_time, end_time, status, requires_approval, created_by, request_key
)
select
  %(client)s, %(therapist)s, now() - n * interval '1 day', now() - n * interval '23 hours',
  'completed', true, %(therapist)s, n::text
from generate_series(1, {OWN}) n
"""
_PAID = """
insert into session_approval.credit_ledger
  (lot_id, user_id, session_id, kind, delta, balance_after, source, reference)
select l.id, l.user_id, s.id, kind.name, -1, 2, 'others', kind.name || s.id
from public.sessions s
join lateral (select * from public.user_credits l where l.user_id = s.user_id limit 1) l on true
cross join (values ('approval'), ('grant')) kind (name)
"""
_SEEN = """
insert into session_approval.video_events (id, session_id, type, occurred_at)
select gen_random_uuid(), s.id, 'participant.joined', now() from public.sessions s
"""
# What a scan of a table or of an index of its own returned, in this transaction.
_READ = """
select
  c.oid::regclass::text as name,
  pg_stat_get_xact_tuples_returned(c.oid) + (
    select coalesce(sum(pg_stat_get_xact_tuples_returned(i.indexrelid)), 0)
    from pg_index i
    where i.indrelid = c.oid
  ) as rows
from pg_class c
where c.relkind = 'r'
  and (c.relnamespace = 'session_approval'::regnamespace
    or c.oid in ('public.sessions'::regclass, 'public.user_credits'::regclass))
"""
_INDEXES = """
select i.indexrelid::regclass::text as name
from pg_index i
where not i.indisunique
  and not i.indisexclusion
  and (
    i.indexrelid in (
      select to_regclass('public.' || n.name)
      from session_approval.install_changes n
      where n.kind = 'index'
    )
    or i.indrelid in (
      select c.oid from pg_class c where c.relnamespace = 'session_approval'::regnamespace
    )
  )
"""


@pytest.fixture(scope="module")
def pair(server: Server) -> Iterator[tuple[str, Person, Person]]:
    """The address of a database with many people in it, and two of them with a long past."""
    with server.database(f"test_indexes_{uuid4().hex[:8]}") as address:
        with actors.connect(address) as db:
            db.execute(_FILLED)
            therapist = actors.add_person(db, "therapist")
            client = actors.add_person(db, "individual")
            actors.give_credits(db, client, 9)
            db.execute(_HAD, {"therapist": therapist.id, "client": client.id})
            db.execute(_PAID)
            db.execute(_SEEN)
            db.execute("set session_replication_role = origin")
            db.execute(_CANCELLED)
            db.execute("analyze")
        yield address, therapist, client


@contextmanager
def undone(address: str) -> Iterator[Connection]:
    """Lend a connection whose changes are rolled back, and that reads by indexes where it can."""
    with actors.connect(address, autocommit=False) as db:
        # Postgres before 18 sees this as a high cost, and would compile every plan.
        db.execute("set local enable_seqscan = off; set local jit = off")
        yield db
        db.rollback()


def many_read(db: Connection, therapist: Person, client: Person) -> dict[str, int]:
    """Do everything that people and the server do; return the reads of many rows."""
    reads: dict[str, int] = {}
    so_far = {table["name"]: table["rows"] for table in db.execute(_READ)}

    def note(act: str) -> None:
        nonlocal so_far
        now = {table["name"]: table["rows"] for table in db.execute(_READ)}
        for table, rows in now.items():
            if rows - so_far[table] > EXCEPTIONS.get(act, MANY):
                reads[f"{act} of {table}"] = int(rows - so_far[table])
        so_far = now

    def do(act: str, person: Person | None, **arguments: Any) -> dict[str, Any]:
        role = "service_role" if person is None else "authenticated"
        rows = call_as(db, role, person, act, **arguments)
        note(act)
        return rows[0] if rows else {}

    [clock] = db.execute("select now() + interval '1 year' as next_year").fetchall()
    waiting, declined, cancelled = (
        propose(db, therapist, client, p_start_time=clock["next_year"] + timedelta(hours=hour))
        for hour in range(3)
    )
    note("create_custom_session")
    do("check_availability", therapist, p_start_time=clock["next_year"])
    approve(db, client, cancelled)
    instant = propose(db, therapist, client, p_is_instant=True)
    approve(db, client, instant)
    note("approve_session_and_deduct_credit")
    do("list_pending_sessions", client)
    for person in (client, therapist):
        do("list_sessions", person)
        do("get_session", person, p_session_id=waiting["id"])
        do("get_credits", person)
    do("preview_cancellation", client, p_session_id=cancelled["id"])
    do("cancel_session", client, p_session_id=cancelled["id"])
    do("decline_session", client, p_session_id=declined["id"])
    do("join_session", client, p_session_id=instant["id"])
    for kind in ("participant.joined", "meeting.ended"):
        payload = {"room": f"s-{instant['id'].hex}", "user_id": str(client.id)}
        event = {"id": kind, "event_ts": clock["next_year"].timestamp(), "type": kind}
        do("record_video_event", None, p_event=Jsonb({**event, "payload": payload}))
    do("finish_session", therapist, p_session_id=instant["id"])
    payment = {"p_user_id": client.id, "p_amount": 1, "p_source": "x", "p_reference": "y"}
    lot = do("grant_credits", None, **payment)["lot_id"]
    correction = {"p_delta": 1, "p_reason": "x", "p_actor_id": client.id}
    do("adjust_credits", None, p_lot_id=lot, **correction)
    do("sweep_sessions", None)
    actors.change(db, "user_credits", lot, credits_balance=4)
    note("an update")
    db.execute("delete from public.sessions where id = %s", (waiting["id"],))
    note("a delete")
    return reads


def test_an_act_reads_few_rows_however_many_there_are(
    pair: tuple[str, Person, Person],
) -> None:
    address, therapist, client = pair
    with undone(address) as db:
        assert many_read(db, therapist, client) == {}


def test_without_any_one_of_our_indexes_some_act_reads_many_rows(
    pair: tuple[str, Person, Person],
) -> None:
    address, therapist, client = pair
    idle = []
    with undone(address) as db:
        indexes = [index["name"] for index in db.execute(_INDEXES)]
    assert len(indexes) >= 8

    for index in indexes:
        with undone(address) as db:
            db.execute(f"drop index {index}")
            if not many_read(db, therapist, client):
                idle.append(index)

    assert idle == [], "no act here needs these: drop them, or add the act that does"
