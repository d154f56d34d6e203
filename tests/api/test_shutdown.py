"""Stopping the API finishes what it has begun."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.api.conftest import SECRET, headers_of
from tests.api.serving import serving
from tests.people import Person


def test_a_request_that_has_begun_is_answered_though_the_server_was_told_to_stop(
    log_file: Path, client: Person
) -> None:
    begun, go = threading.Event(), threading.Event()

    class SlowSupabase(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            begun.set()
            go.wait(20)
            body = b'[{"credits_balance": 7}]'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    supabase = ThreadingHTTPServer(("127.0.0.1", 0), SlowSupabase)
    threading.Thread(target=supabase.serve_forever, daemon=True).start()
    with (
        ThreadPoolExecutor(1) as pool,
        serving(
            log_file,
            SUPABASE_URL="http://supabase.test",
            SUPABASE_REST_URL=f"http://127.0.0.1:{supabase.server_port}",
            SUPABASE_PUBLISHABLE_KEY="sb_publishable_test",
            SUPABASE_JWT_SECRET=SECRET,
        ) as served,
    ):
        waiting = pool.submit(
            httpx.get,
            f"{served.url}/api/credits/user",
            headers=headers_of(client),
            timeout=30,
        )
        assert begun.wait(20)
        served.process.send_signal(signal.SIGTERM)
        threading.Timer(1.5, go.set).start()  # it is stopping by then
        answer = waiting.result(30)
        assert served.process.wait(30) == 0

    assert answer.status_code == 200, answer.text
    assert answer.json()["credits_balance"] == 7
    supabase.shutdown()
    supabase.server_close()
