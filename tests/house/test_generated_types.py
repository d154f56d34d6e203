"""The types that a frontend generates from the database fit what it calls."""

import json
import subprocess
from pathlib import Path

from tests.house.tools import from_npm, node, supabase

FRONTEND = Path(__file__).with_name("frontend.ts")
PACKAGES = ("typescript@7.0.2", "@supabase/supabase-js@2.119.1")
OPTIONS = {
    "strict": True,
    "noEmit": True,
    "skipLibCheck": True,
    "types": [],
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "es2022",
    "lib": ["es2022", "dom"],
}


def compiled(folder: Path, program: str) -> str:
    """Compile a program beside the generated types; return what the compiler finds."""
    (folder / "frontend.ts").write_text(program)
    result = subprocess.run(
        [*node(folder / "node_modules/typescript/bin/tsc"), "-p", str(folder), "--pretty", "false"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.stderr == ""
    return result.stdout


def test_a_frontend_compiles_against_the_types_generated_from_the_database(
    own_database: str, tmp_path: Path
) -> None:
    modules = from_npm("typescript", *PACKAGES).parent
    types = supabase(own_database, tmp_path, "gen", "types", "typescript", "--schema", "public")
    (tmp_path / "database.types.ts").write_text(types)
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": OPTIONS, "files": ["frontend.ts"]})
    )
    program = FRONTEND.read_text()

    assert compiled(tmp_path, program) == ""

    # That the compiler would notice: a call whose answer had no columns, and one that is right.
    assert "error TS2345" in compiled(
        tmp_path, program.replace("same<typeof session, A", "same<any, A")
    )
    assert "error TS2578" in compiled(tmp_path, program.replace("{ session_id:", "{ p_session_id:"))
