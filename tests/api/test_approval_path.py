"""How many files of the API somebody has to read to follow an approval."""

import sys
import threading
from pathlib import Path
from types import FrameType

from scripts import ROOT
from tests.actors import Connection, Person, give_credits
from tests.api.conftest import Api


def test_an_approval_runs_in_at_most_ten_files_of_the_api(
    api: Api, db: Connection, therapist: Person, client: Person
) -> None:
    give_credits(db, client)
    session = api.propose(therapist, client)
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(ROOT / "api"):
            files.add(file.relative_to(ROOT).as_posix())

    threading.setprofile(note)  # the threads that call the video provider too
    sys.setprofile(note)
    try:
        answer = api.approve(client, session)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)

    assert answer.json["room"] is not None
    assert {"api/routes/sessions.py", "api/supabase.py", "api/video/daily.py"} <= files
    assert len(files) <= 10, sorted(files)
