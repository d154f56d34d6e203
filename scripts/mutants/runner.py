"""One mutant after another: in a copy of the tree, on a Postgres of its own, until a test fails."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from scripts.local import ROOT, StackError, npm
from scripts.local.postgres import EmbeddedPostgres
from scripts.mutants.mutant import Mutant
from scripts.mutants.which import which_tests, wider_tests

_FOLDERS = ("api", "docs", "scripts", "sql", "tests")
_CONTRACT = "tests/api/test_contract.py"
_CONFIG = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "max_connections": "150",
}


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    id: str
    outcome: str  # killed, hung (no test ended), refused (it does not install or start), survived
    by: str  # the test that failed
    seconds: float
    line: str


class Runner:
    """A copy of the tree with a server and a process that runs tests; a context manager."""

    def __init__(self, wider: bool) -> None:
        """Say whether survivors meet the wider tests as well."""
        self._wider = wider
        self._ends = contextlib.ExitStack()
        self._written = int(time.time())
        self._sound: set[str] = set()

    def __enter__(self) -> "Runner":
        """Copy what is needed, start Postgres and the process."""
        folder = Path(
            self._ends.enter_context(
                tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True)
            )
        )
        self.tree, self._log = folder / "tree", folder / "log"
        self.tree.mkdir()
        for name in _FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__", "screens")
            shutil.copytree(ROOT / name, self.tree / name, ignore=ignored)
        for file in ROOT.iterdir():
            if file.is_file():
                shutil.copy(file, self.tree)
        (self.tree / ".venv").symlink_to(sys.prefix)
        (self.tree / ".local").mkdir()
        npm.FOLDER.mkdir(parents=True, exist_ok=True)
        (self.tree / ".local" / "npm").symlink_to(npm.FOLDER)
        server = EmbeddedPostgres(folder / "pg", config=_CONFIG)
        self._ends.enter_context(server)
        self._forks = self._ends.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "scripts.mutants.forks", str(self._log)],
                cwd=self.tree,
                env={
                    **{k: v for k, v in os.environ.items() if k != "LOCAL_FOLDER"},
                    "TEST_DATABASE_URL": server.uri(),
                    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # loading them takes longer than a test
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        self._ends.callback(self._forks.terminate)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End what was started."""
        self._ends.close()

    def tests(self, files: list[str], *arguments: str) -> tuple[str, str]:
        """Run test files; return pytest's exit status, or "hung", and its words."""
        assert self._forks.stdin is not None  # noqa: S101 - both are pipes
        assert self._forks.stdout is not None  # noqa: S101
        command = ["-q", "--tb=short", "-p", "no:cacheprovider", *arguments, *files]
        if _CONTRACT in files:
            command += ["-p", "schemathesis.pytest.plugin"]
        self._forks.stdin.write(json.dumps(command) + "\n")
        self._forks.stdin.flush()
        status = self._forks.stdout.readline().strip()
        if not status:
            raise StackError("the process that runs the tests has ended")
        return status, self._log.read_text(errors="replace")

    def run(self, mutant: Mutant, ignored: list[str]) -> Result:
        """Try one mutant: its tests, then the wider ones."""
        began = time.monotonic()
        ignoring = [part for test in ignored for part in ("--deselect", test)]
        outcome, by = "survived", ""
        with self._changed(mutant):
            for files in [which_tests(mutant.id)] + [wider_tests(mutant.id)] * self._wider:
                outcome, by = _read(*self.tests(files, "-x", *ignoring)) if files else (outcome, by)
                if outcome != "survived":
                    break
        if outcome == "killed":
            self._see_pass(by.partition("[")[0])
        return Result(mutant.id, outcome, by, round(time.monotonic() - began, 1), mutant.line)

    def _see_pass(self, test: str) -> None:
        """Say so when a test fails without any mutant: it would kill them all."""
        if test not in self._sound:
            if self.tests([test])[0] != "0":
                raise StackError(f"{test} also fails without a mutant: mend it first")
            self._sound.add(test)

    @contextlib.contextmanager
    def _changed(self, mutant: Mutant) -> Iterator[None]:
        """Make the change, and take it back."""
        file = self.tree / mutant.path
        text = (ROOT / mutant.path).read_text()
        self._write(file, mutant.apply(text))
        try:
            yield
        finally:
            self._write(file, text)

    def _write(self, file: Path, text: str) -> None:
        """Write a file as newer than it was by whole seconds, which is what Python's caches see."""
        file.write_text(text)
        self._written += 1
        os.utime(file, (self._written, self._written))


def _read(status: str, said: str) -> tuple[str, str]:
    """Make an outcome of pytest's exit status and words."""
    if status == "0":
        return "survived", ""
    if status == "hung":
        return "hung", (said.strip().splitlines() or [""])[-1][-200:]
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.M)
    if "psql stopped; nothing was changed" in said and failed is None:
        return "refused", (re.findall(r"ERROR: .*", said) or [""])[-1]
    if failed is None and "Error while loading conftest" in said:
        return "refused", said.strip().splitlines()[-1]
    if failed is None and status != "1":
        return "broken", said[-600:]
    return "killed", failed[1] if failed else said[-200:]


def keep(result: Result, file: Path) -> None:
    """Add a result to the file of results."""
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(result)) + "\n")
