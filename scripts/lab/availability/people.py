"""A database with the product, clients with credits, and sessions that wait for their approval."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from scripts.local import tokens
from scripts.operate import psql

SECRET = "a-secret-that-only-this-measurement-knows"  # noqa: S105 - of a server that ends with it
ISSUER = "http://127.0.0.1/auth/v1"
_CLIENT = "00000000-0000-4000-9000-"
_THERAPIST = "00000000-0000-4000-8000-"
_SESSION = "00000000-0000-4000-a000-"


@dataclass(frozen=True)
class Request:
    """A session that waits for approval, and its client."""

    session: str
    client: str


@dataclass(frozen=True)
class People:
    """Clients, each with lots of credits, and sessions that wait for the clients in turn."""

    clients: int
    sessions: int
    lots: int = 2
    credits_a_lot: int = 1_000_000
    therapists: int = 10

    def install(self, address: str) -> None:
        """Install the product into an empty database, with these people and sessions."""
        psql.apply(address, [psql.SUPABASE, psql.STARTER, psql.INSTALL])
        with psycopg.connect(address, autocommit=True) as db:
            self.add(db)

    def add(self, db: psycopg.Connection) -> None:
        """Add the people and their sessions to a database that has the product."""
        for kind, prefix, number in (
            ("therapist", _THERAPIST, self.therapists),
            ("individual", _CLIENT, self.clients),
        ):
            db.execute(
                "insert into public.users (id, email, full_name, user_type)"
                " select (%(prefix)s || lpad(n::text, 12, '0'))::uuid,"
                " %(kind)s || n || '@example.org', 'Person ' || n, %(kind)s"
                " from generate_series(0, %(number)s - 1) n",
                {"kind": kind, "prefix": prefix, "number": number},
            )
        db.execute(
            "insert into public.user_credits (user_id, credits_balance, expires_at)"
            " select u.id, %s, now() + n * interval '30 days'"
            " from public.users u, generate_series(1, %s) n where u.user_type = 'individual'",
            (self.credits_a_lot, self.lots),
        )
        with db.transaction():
            # Without triggers: proposing is not measured. Each session has an hour of its own, so
            # that no calendar is full.
            db.execute("set local session_replication_role = replica")
            db.execute(
                "insert into public.sessions (id, user_id, therapist_id, created_by, status, title,"
                " requires_approval, start_time, end_time, duration_minutes, time_zone,"
                " approval_expires_at)"
                " select (%(session)s || lpad(n::text, 12, '0'))::uuid,"
                " (%(client)s || lpad((n %% %(clients)s)::text, 12, '0'))::uuid, t.id, t.id,"
                " 'pending_approval', 'Session', true, at.start, at.start + interval '30 minutes',"
                " 30, 'UTC', at.start from generate_series(0, %(sessions)s - 1) n,"
                " lateral (select (%(therapist)s || lpad((n %% %(therapists)s)::text, 12, '0'))"
                " ::uuid as id) t,"
                " lateral (select now() + interval '2 days' + n * interval '1 hour' as start) at",
                {
                    "session": _SESSION,
                    "client": _CLIENT,
                    "therapist": _THERAPIST,
                    "clients": self.clients,
                    "therapists": self.therapists,
                    "sessions": self.sessions,
                },
            )
            db.execute(
                "insert into session_approval.bookings (session_id, person_id, during)"
                " select h.id, person.id, tstzrange(h.start_time, h.end_time)"
                " from session_approval.held_sessions h"
                " cross join lateral (values (h.therapist_id), (h.user_id)) person (id)"
                " on conflict do nothing"
            )
        db.execute("vacuum analyze")

    def requests(self, first: int = 0) -> Iterator[Request]:
        """Name the waiting sessions, in turn."""
        for n in range(first, self.sessions):
            yield Request(f"{_SESSION}{n:012}", client_id(n % self.clients))

    def tokens(self) -> dict[str, str]:
        """Return each client's access token."""
        return {client: token(client) for client in map(client_id, range(self.clients))}


def client_id(number: int) -> str:
    """Return a client's id."""
    return f"{_CLIENT}{number:012}"


def therapist_id(number: int) -> str:
    """Return a therapist's id."""
    return f"{_THERAPIST}{number:012}"


def token(person: str) -> str:
    """Return a person's access token."""
    return tokens.mint(SECRET, ISSUER, person, "person@example.org")
