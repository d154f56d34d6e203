"""Which tests matter to a file: those of its name, those written here, those of its callers."""

import re
from functools import cache
from pathlib import PurePosixPath

from scripts.local import ROOT

_CALENDAR = ("test_calendar", "test_check_availability")
_LEDGER = ("test_ledger", "test_reconcile_credits")
_INSTALL = ("test_rollback", "test_preconditions", "test_install")
# What a rule breaks tells more than where, of who may do what.
_BY_RULE = {
    **dict.fromkeys(("invoker", "definer", "no-search-path", "stable"), ("test_catalogue",)),
    **dict.fromkeys(("no-revoke", "no-grant", "grant-anon"), ("test_catalogue", "test_matrix")),
    **dict.fromkeys(("nullable", "no-check"), ("test_catalogue",)),
    "no-time-zone": ("test_install",),
    **dict.fromkeys(("open-policy", "policy-for-all"), ("test_guards", "test_matrix")),
}
# And what only several at once can tell; these take longest.
_LAST_BY_RULE = dict.fromkeys(
    ("no-lock", "wait", "no-exclusion", "not-unique"),
    ("test_storms", "test_interleavings"),
)
# The files whose tests do not have their name, and what their own tests leave to others.
_BY_FILE: dict[str, tuple[str, ...]] = {
    "debit_one_credit": ("test_approve_session_and_deduct_credit", "test_storms"),
    "approve_session_and_deduct_credit": ("test_calendar",),
    "create_custom_session": ("test_time", "test_calendar"),
    "check_proposal": ("test_create_custom_session", "test_time"),
    "keep_proposal": ("test_create_custom_session", "test_calendar"),
    "proposed_start": ("test_create_custom_session", "test_time"),
    "local_time_to_instant": ("test_time", "test_create_custom_session"),
    "time_zone_of": ("test_time", *_CALENDAR),
    "is_time_zone": ("test_time", "test_create_custom_session"),
    "hold_slot": ("test_calendar",),
    "holds_between": _CALENDAR,
    "busy_sessions": _CALENDAR,
    "conflicting_sessions": _CALENDAR,
    "free_times": _CALENDAR,
    "free_times_within": _CALENDAR,
    "refuse_if_taken": _CALENDAR,
    "lock_calendars": ("test_calendar",),
    "announce_older_write": ("test_calendar",),
    "calendar_key": _CALENDAR,
    "calendar_shelf": _CALENDAR,
    "double_bookings": ("test_calendar",),
    "held_sessions": _CALENDAR,
    "sessions_slot": ("test_calendar",),
    "prove_caller": ("test_approve_session_and_deduct_credit", "test_guards"),
    "acting_role": ("test_approve_session_and_deduct_credit", "test_ledger"),
    "refuse": ("test_approve_session_and_deduct_credit",),
    "refuse_unless_pending": ("test_approve_session_and_deduct_credit", "test_decline_session"),
    "end_proposal": ("test_decline_session", "test_cancel_session", "test_events"),
    "expire_proposal": ("test_sweep_sessions", "test_calendar"),
    "close_session": ("test_sweep_sessions",),
    "was_swept": ("test_finish_session", "test_sweep_sessions"),
    "expire_lot": ("test_sweep_sessions", "test_ledger"),
    "add_credits": ("test_grant_credits", "test_adjust_credits"),
    "refund_one_credit": ("test_cancel_session", "test_ledger"),
    "cancellation_terms": ("test_preview_cancellation", "test_cancel_session"),
    "spendable_balance": ("test_approve_session_and_deduct_credit", "test_get_credits"),
    "spendable_lots": ("test_approve_session_and_deduct_credit", "test_get_credits"),
    "note_credit_entry": _LEDGER,
    "note_status_change": ("test_events",),
    "room_name": ("test_join_session", "test_record_video_event"),
    "finish_session": ("test_sweep_sessions",),
    "room_to_remove": ("test_cancel_session", "test_decline_session", "test_finish_session"),
    "session_details": (
        *("test_get_session", "test_list_sessions", "test_approve_session_and_deduct_credit"),
        *("test_join_session", "test_create_custom_session", "test_decline_session"),
    ),
    "session_outcomes": ("test_create_custom_session", "test_approve_session_and_deduct_credit"),
    "session_histories": ("test_get_session", "test_events"),
    "clients": ("test_list_clients", "test_create_custom_session"),
    "sessions_guard": ("test_guards",),
    "user_credits_guard": ("test_guards",),
    "sessions_events": ("test_events",),
    "sessions_duration": ("test_preconditions",),
    "sessions_live": ("test_live", "test_install"),
    "user_credits_ledger": (*_LEDGER, "test_install"),
    "credit_ledger_append_only": ("test_credit_ledger_append_only", "test_guards"),
    "take_locks": ("test_install", "test_online"),
    "definitions": ("test_installs",),
    "version": ("test_installs",),
    "record": ("test_installs",),
    "sessions": ("test_install", "test_guards", "test_online"),
    "user_credits": ("test_install", "test_guards", "test_online"),
    "rollback_plan": ("test_rollback",),
    "check_to_put_back": ("test_rollback",),
    "0001_preconditions": ("test_preconditions",),
    "0003_settings": ("test_catalogue", "test_time", "test_sweep_sessions", "test_calendar"),
    "0007_credit_ledger": _LEDGER,
    "0008_session_events": ("test_events",),
    "0009_bookings": ("test_calendar", "test_sweep_sessions"),
    "0010_video_events": ("test_record_video_event",),
    "0011_transitions": ("test_guards", "test_events"),
    "0012_status_checks": _INSTALL,
}
# The other files work on what a database holds already.
_DEFINED = ("sql/functions/", "sql/triggers/", "sql/views/")
_OF_PYTHON = {
    "auth": ("auth", "token_attacks", "cookies", "limits"),
    "tokens": ("token_attacks", "auth", "keys", "upstream"),
    "cookies": ("cookies",),
    "keys": ("keys", "token_attacks", "doctor"),
    "errors": ("refusals", "upstream", "limits"),
    "rpc": ("upstream", "polling", "refusals", "webhook", "story"),
    "rooms": ("rooms_beside_sessions", "daily", "story"),
    "daily": ("daily", "rooms_beside_sessions"),
    "headers": ("headers", "polling"),
    "video": ("rooms_beside_sessions", "contract", "daily", "jitsi"),
    "bodies": ("refusals", "story", "contract"),
    "sessions": ("story", "refusals", "contract", "calendar", "metrics"),
    "therapist": ("story", "calendar", "refusals", "contract"),
    "credits": ("story", "contract"),
    "webhook": ("webhook", "contract"),
}  # fmt: skip


@cache
def _callers(name: str) -> tuple[str, ...]:
    """Return the SQL files that name a function or view, and those that name these in turn."""
    found: dict[str, None] = {}
    for file in sorted((ROOT / "sql").glob("[ftv]*/*.sql")):
        if file.stem != name and re.search(rf"session_approval\.{name}\b", file.read_text()):
            found[file.stem] = None
    for nearer in list(found):
        if nearer not in {"sweep_sessions", "hold_slot", "keep_slot"}:
            found |= dict.fromkeys(c for c in _callers(nearer) if c != name)
    return tuple(found)


def which_tests(mutant_id: str) -> list[str]:
    """Return the test files that matter, the likeliest first."""
    path, rule, _ = mutant_id.split(":")
    name = PurePosixPath(path).stem
    if path.startswith("api/"):
        names = [f"tests/api/test_{test}.py" for test in _OF_PYTHON.get(name, (name,))]
    else:
        tests = [*_BY_RULE.get(rule, ()), f"test_{name}", *_BY_FILE.get(name, ())]
        if path.startswith("sql/functions/"):
            tests += [f"test_{caller}" for caller in _callers(name)]
        elif not path.startswith(_DEFINED):
            tests += _INSTALL
        tests += ["test_catalogue", *_LAST_BY_RULE.get(rule, ())]
        names = [f"tests/sql/{test}.py" for test in tests]
        if not path.startswith(_DEFINED):
            names.append("tests/install/test_starting_points.py")
    return [name for name in dict.fromkeys(names) if (ROOT / name).exists()]


def wider_tests(mutant_id: str) -> list[str]:
    """Return the folder of tests that a survivor meets, without what it has met already."""
    met = set(which_tests(mutant_id))
    folder = ROOT / "tests" / ("api" if mutant_id.startswith("api/") else "sql")
    files = [file.relative_to(ROOT).as_posix() for file in sorted(folder.glob("test_*.py"))]
    return [file for file in files if file not in met]
