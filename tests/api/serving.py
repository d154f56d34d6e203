"""The API as it is deployed, as a process."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from scripts.local import api_server, free_port


@dataclass
class Served:
    """A running API: where it is, its process, and the file that holds all it says."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def serving(log: Path, **settings: str) -> Iterator[Served]:
    """Run the API until the block ends."""
    port = free_port()
    started = api_server.start(port, log, **settings)
    served = Served(f"http://127.0.0.1:{port}", started.popen, log)
    try:
        started.wait_until(lambda: _answers(served.url))
        yield served
    finally:
        started.stop()


def _answers(url: str) -> bool:
    try:
        httpx.get(f"{url}/healthz", timeout=1)
    except httpx.TransportError:
        return False
    return True


class SlowSupabase:
    """A Supabase that answers with seven credits, once it is let."""

    def __init__(self, secret: str) -> None:
        """Listen on 127.0.0.1."""
        self.begun, self.go = threading.Event(), threading.Event()
        slow = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                slow.begun.set()
                slow.go.wait(20)
                body = b'[{"credits_balance": 7}]'
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.environment = {
            "SUPABASE_URL": "http://supabase.test",
            "SUPABASE_REST_URL": f"http://127.0.0.1:{self.server.server_port}",
            "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_test",
            "SUPABASE_JWT_SECRET": secret,
        }
