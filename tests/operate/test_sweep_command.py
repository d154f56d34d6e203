"""The sweep as a command, and by pg_cron where there is one."""

from scripts.operate import psql
from tests import actors
from tests.actors import add_person, change, give_credits, propose, row
from tests.operate.test_credits_command import Operator


def test_one_sweep_expires_everything_due_and_reports_it(own_database: str) -> None:
    with actors.connect(own_database) as db:
        therapist, client = add_person(db, "therapist"), add_person(db, "individual")
        lots = [give_credits(db, client, 1, expires_at="yesterday") for _ in range(501)]
        session = propose(db, therapist, client)
        change(db, "sessions", session["id"], approval_expires_at="yesterday")

        ended = Operator(own_database).run("sweep")

        assert (ended.returncode, ended.stderr) == (0, "")
        assert "sessions expired: 1, lots expired: 501, sessions closed: 0" in ended.stdout
        assert row(db, "sessions", session["id"])["status"] == "cancelled"
        assert row(db, "user_credits", lots[-1])["credits_balance"] == 0


def test_the_sweep_reports_a_database_that_does_not_answer() -> None:
    ended = Operator("postgresql://postgres@127.0.0.1:1/nowhere").run("sweep")

    assert ended.returncode == 2
    assert "does not answer" in ended.stderr


def test_the_sweep_is_a_job_of_pg_cron_if_pg_cron_is_installed(own_database: str) -> None:
    with actors.connect(own_database) as db:
        db.execute("create schema cron")
        db.execute("create table cron.job (jobname text unique, schedule text, command text)")
        db.execute(
            "create function cron.schedule(job_name text, schedule text, command text)"
            " returns bigint language sql as 'insert into cron.job values ($1, $2, $3)"
            " on conflict (jobname) do update set schedule = $2, command = $3 returning 1::bigint'"
        )

        for _ in range(2):
            psql.apply(own_database, [psql.INSTALL])

        [job] = db.execute("select * from cron.job").fetchall()
        assert (job["jobname"], job["schedule"]) == ("session_approval_sweep", "* * * * *")
        db.execute(job["command"])
