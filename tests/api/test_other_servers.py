"""Any WSGI server takes api:create_app(); gunicorn, as docs/deployment.md has it."""

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import httpx

from scripts import ROOT
from scripts.local import free_port
from tests.api.serving import SlowSupabase


def test_gunicorn_serves_the_application_and_its_metrics(
    log_file: Path, tmp_path: Path, slow: SlowSupabase
) -> None:
    documented = (ROOT / "docs/deployment.md").read_text()
    [command] = re.findall(r"^gunicorn (.*\"api:create_app\(\)\")$", documented, re.M)
    url = f"http://127.0.0.1:{free_port()}"
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    with log_file.open("w") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn"),
                *shlex.split(command.replace("0.0.0.0:8000", url.removeprefix("http://"))),
            ],
            cwd=ROOT,
            env={
                **slow.environment,
                "PROMETHEUS_MULTIPROC_DIR": str(metrics),
                "METRICS_TOKEN": "m" * 16,
            },
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + 20
        while True:
            try:
                assert httpx.get(f"{url}/healthz").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < until, log_file.read_text()
                time.sleep(0.05)
        for _ in range(9):
            assert httpx.get(f"{url}/healthz").status_code == 200
        found = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {'m' * 16}"})
    finally:
        process.terminate()
        assert process.wait(40) == 0

    [count] = re.findall(r'seconds_count{route="/healthz",status="200"} (\S+)', found.text)
    assert float(count) >= 10
