"""What a session's people are told by Supabase Realtime, where it is installed."""

from scripts.operate import psql
from tests import actors
from tests.actors import Row, add_person, call, give_credits, propose

REALTIME = """
create schema realtime;
create table realtime.messages (
  id bigint generated always as identity, payload jsonb, event text, topic text, private boolean
);
alter table realtime.messages enable row level security;
grant usage on schema realtime to authenticated;
grant select on realtime.messages to authenticated;
create function realtime.topic() returns text language sql stable
  as $$ select nullif(current_setting('realtime.topic', true), '') $$;
create function realtime.send(
  payload jsonb, event text, topic text, private boolean default true
) returns void language sql
  as $$ insert into realtime.messages (payload, event, topic, private) values ($1, $2, $3, $4) $$;
"""


def told(db: actors.Connection) -> list[Row]:
    """Return what was sent."""
    return db.execute(
        "select payload, event, topic, private from realtime.messages order by id"
    ).fetchall()


def test_both_people_receive_the_id_of_the_changed_session_and_nothing_more(
    own_database: str,
) -> None:
    with actors.connect(own_database) as db:
        db.execute(REALTIME)
        for _ in range(2):
            psql.apply(own_database, [psql.INSTALL])
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 1)

        session = propose(db, therapist, client, p_title="Private")
        actors.approve(db, client, session)

        message = {"payload": {"session_id": str(session["id"])}, "event": "session_changed"}
        both = [
            {**message, "topic": f"session_approval:{person.id}", "private": True}
            for person in (client, therapist)
        ]
        assert told(db) == both * 2
        with actors.act_as(db, client):
            db.execute(
                "select set_config('realtime.topic', %s, true)", (f"session_approval:{client.id}",)
            )
            assert len(told(db)) == 4
            db.execute(
                "select set_config('realtime.topic', %s, true)",
                (f"session_approval:{therapist.id}",),
            )
            assert told(db) == []


def test_sessions_work_without_realtime(own_database: str) -> None:
    with actors.connect(own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        give_credits(db, client, 1)

        actors.approve(db, client, propose(db, therapist, client))

        assert call(db, client, "list_sessions", p_upcoming=True)
        assert (
            db.execute(
                "select from pg_trigger t where t.tgname = 'session_approval_live'"
            ).fetchall()
            == []
        )
