"""The published story over HTTP: propose, see, approve, join, and every way in which that ends."""

from tests import actors
from tests.actors import Connection, Person, give_credits
from tests.api.conftest import Api, assert_refused, headers_of


def test_a_scheduled_session_is_proposed_seen_approved_and_paid_with_one_credit(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 2)

    session = api.propose(therapist, client, title="First talk", notes="Bring the diary")
    assert session["status"] == "pending_approval"

    pending = api.get("/api/sessions/pending", client).json
    assert [s["id"] for s in pending["sessions"]] == [session["id"]]
    assert pending["sessions"][0]["therapist"] == {
        "id": str(therapist.id),
        "full_name": therapist.full_name,
        "email": therapist.email,
    }

    approved = api.approve(client, session)
    assert approved.status_code == 200
    assert approved.json["message"] == "Session approved successfully."
    assert approved.json["session"]["status"] == "scheduled"
    assert approved.json["session"]["credits_balance_after"] == 1
    assert approved.json["session"]["credits_low"] is True
    assert approved.json["session"]["already_approved"] is False
    assert approved.json["room"]["url"].endswith(approved.json["room"]["name"])

    again = api.approve(client, session)
    assert again.status_code == 200
    assert again.json["session"]["already_approved"] is True
    assert again.json["room"] == approved.json["room"]
    assert actors.balances(db, client) == [1]

    assert api.get("/api/sessions/pending", client).json["sessions"] == []
    for person in (therapist, client):
        [mine] = api.get("/api/sessions", person, status="scheduled,confirmed").json["sessions"]
        assert mine["id"] == session["id"]
    history = api.get(f"/api/sessions/{session['id']}", client).json
    assert [e["to_status"] for e in history["events"]] == ["pending_approval", "scheduled"]


def test_an_instant_session_is_approved_and_both_join_at_once(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client, is_instant=True, duration_minutes=45)

    approved = api.approve(client, session)

    assert approved.json["message"] == "Session approved! You can join immediately."
    assert approved.json["session"]["status"] == "confirmed"
    joined = [api.post(f"/api/sessions/{session['id']}/join", p) for p in (client, therapist)]
    joined.append(api.post("/api/sessions/join", client, sessionId=session["id"]))
    for response in joined:
        assert response.status_code == 200, response.json
        assert response.json["room_url"] == approved.json["room"]["url"]
        assert response.json["room_name"] == approved.json["room"]["name"]
        assert response.json["meeting_token"]
        assert response.json["expires_at"] == approved.json["session"]["end_time"]


def test_every_success_carries_its_fields_flat_and_under_data(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client)
    for response in (
        api.approve(client, session),
        api.get("/api/sessions/pending", client),
        api.get("/api/credits/user", client),
        api.get("/api/therapist/clients", therapist),
        api.get("/healthz"),
        api.get("/readyz"),
    ):
        body = dict(response.json)
        assert body.pop("success") is True
        assert body.pop("data") == body


def test_a_client_without_credits_is_told_how_many_are_missing(
    api: Api, therapist: Person, client: Person
) -> None:
    session = api.propose(therapist, client)

    refusal = api.approve(client, session)

    details = assert_refused(refusal, 402, "INSUFFICIENT_CREDITS")
    assert details == {"required": 1, "available": 0, "short_by": 1}
    assert refusal.json["error"] == "Insufficient credits"
    assert [s["id"] for s in api.get("/api/sessions/pending", client).json["sessions"]] == [
        session["id"]
    ]


def test_somebody_elses_session_and_no_session_are_one_answer(
    api: Api, db: Connection, therapist: Person, client: Person, stranger: Person
) -> None:
    give_credits(db, stranger)
    session = api.propose(therapist, client)
    nobody = {"id": "00000000-0000-0000-0000-000000000000"}

    answers = [api.approve(stranger, s) for s in (session, nobody)]

    for response in answers:
        assert_refused(response, 404, "SESSION_NOT_FOUND")
    assert answers[0].json == answers[1].json
    for path in ("decline", "cancel", "join", "finish"):
        refused = api.post(f"/api/sessions/{session['id']}/{path}", stranger)
        assert_refused(refused, 404, "SESSION_NOT_FOUND")
    for path in ("", "/cancellation"):
        refused = api.get(f"/api/sessions/{session['id']}{path}", stranger)
        assert_refused(refused, 404, "SESSION_NOT_FOUND")
    assert api.get("/api/sessions", stranger).json["sessions"] == []


def test_a_declined_session_cannot_be_approved(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client)

    declined = api.post(f"/api/sessions/{session['id']}/decline", client, reason="On holiday")

    assert declined.json["session"]["cancellation_reason"] == "declined"
    assert declined.json["refunded"] is False
    refusal = api.approve(client, session)
    details = assert_refused(refusal, 409, "SESSION_NOT_PENDING")
    assert details == {"status": "cancelled", "cancellation_reason": "declined"}
    assert refusal.json["error"] == "Session not found or not pending approval"
    [*_, event] = api.get(f"/api/sessions/{session['id']}", therapist).json["events"]
    assert event["reason"] == "On holiday"
    assert actors.balances(db, client) == [1]


def test_the_therapist_withdraws_while_it_waits_and_refunds_once_approved(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    withdrawn = api.propose(therapist, client)
    answer = api.post(f"/api/sessions/{withdrawn['id']}/cancel", therapist)
    assert answer.json["session"]["cancellation_reason"] == "withdrawn"

    session = api.propose(therapist, client)
    api.approve(client, session)
    preview = api.get(f"/api/sessions/{session['id']}/cancellation", therapist).json
    assert (preview["refundable"], preview["free_until"]) == (True, None)
    cancelled = api.post(f"/api/sessions/{session['id']}/cancel", therapist, reason="Ill")

    assert cancelled.json["refunded"] is True
    assert actors.balances(db, client) == [1]
    assert_refused(
        api.post(f"/api/sessions/{session['id']}/join", client), 409, "SESSION_CANCELLED"
    )


def test_a_client_sees_credits_lot_by_lot_with_their_history(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client, 3, expires_at="2031-01-01 00:00+00")
    give_credits(db, client, 9, expires_at="2020-01-01 00:00+00")
    api.approve(client, api.propose(therapist, client, title="First talk"))

    credits = api.get("/api/credits/user", client).json

    assert (credits["credits_balance"], credits["active_credits"]) == (2, 2)
    assert credits["total_credits"] == 11
    assert credits["credits_low"] is False
    assert [(lot["credits_balance"], lot["is_spendable"]) for lot in credits["lots"]] == [
        (9, False),
        (2, True),
    ]
    latest = credits["history"][0]
    assert (latest["kind"], latest["delta"], latest["session_title"]) == (
        "approval",
        -1,
        "First talk",
    )


def test_a_therapist_finds_clients_and_a_client_does_not(
    api: Api, therapist: Person, client: Person
) -> None:
    found = api.get("/api/therapist/clients", therapist, search=client.email).json["clients"]
    assert {
        "id": str(client.id),
        "full_name": client.full_name,
        "email": client.email,
        "time_zone": None,
    } in found
    searched = api.get("/api/therapist/clients", therapist, search=therapist.email)
    assert searched.json["clients"] == []
    assert_refused(api.get("/api/therapist/clients", client), 403, "AUTHORIZATION_ERROR")


def test_a_session_that_took_place_is_finished_by_its_therapist(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client, is_instant=True)
    api.approve(client, session)

    finished = api.post(f"/api/sessions/{session['id']}/finish", therapist)

    assert finished.json["session"]["status"] == "completed"
    assert_refused(api.post(f"/api/sessions/{session['id']}/join", client), 410, "SESSION_OVER")


def test_the_same_idempotency_key_makes_one_session(
    api: Api, therapist: Person, client: Person
) -> None:
    def send(title: str) -> object:
        return api.http.post(
            "/api/therapist/create-custom-session",
            headers={**headers_of(therapist), "Idempotency-Key": "form-1"},
            json={
                "patient_id": client.id,
                "start_time": "2031-05-06T10:00:00Z",
                "title": title,
            },
        )

    first, second, other = send("One"), send("One"), send("Two")

    assert first.json["session"]["id"] == second.json["session"]["id"]
    assert_refused(other, 422, "IDEMPOTENCY_CONFLICT")
    assert len(api.get("/api/sessions", therapist).json["sessions"]) == 1
