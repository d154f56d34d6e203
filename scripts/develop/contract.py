"""Write the HTTP contract again: docs/openapi.json, and its types for TypeScript."""

import json
import subprocess
from typing import Any

import click

from api import create_app
from api.config import load_settings
from api.contract.openapi import contract
from scripts import ROOT, CommandError
from scripts.local.npm import fetched, npm

DOCUMENT = ROOT / "docs" / "openapi.json"
TYPES = ROOT / "docs" / "session-approval.d.ts"

_TOOLS = ["openapi-typescript@7.13.0", "typescript@5.9.3"]
_ANY = {
    "SUPABASE_URL": "http://nowhere.invalid",
    "SUPABASE_PUBLISHABLE_KEY": "none",
}


def document() -> str:
    """Return the contract, as it is published."""
    return json.dumps(contract(create_app(load_settings(_ANY))), indent=2) + "\n"


def types() -> str:
    """Return the published contract's types for TypeScript, which leave out its examples."""
    bare = json.dumps(_without_examples(json.loads(DOCUMENT.read_text())))
    program = fetched(".bin/openapi-typescript", *_TOOLS)
    command = [*npm(), "exec", "--prefix", str(program.parents[2]), "--", program.name]
    made = subprocess.run(command, input=bare, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise CommandError(f"openapi-typescript could not read it:\n{made.stderr.strip()}")
    return made.stdout


def _without_examples(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_examples(one) for one in part]
    if not isinstance(part, dict):
        return part
    kept = {name: one for name, one in part.items() if name not in ("example", "examples")}
    return {name: _without_examples(one) for name, one in kept.items()}


@click.command(help=__doc__)
def main() -> None:
    """Write both."""
    DOCUMENT.write_text(document())
    TYPES.write_text(types())
