"""Checks types with basedpyright: each file must be clean unless it is listed in `types_not_clean.txt`.

python scripts/check_types.py            # fails on a new error, and on a count in the list that is too high
python scripts/check_types.py --update   # lowers the counts of the list; never raises one
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "scripts" / "types_not_clean.txt"


def errors() -> list[dict]:
    """The errors of basedpyright, with the settings of pyproject.toml, each with its file relative to the root."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if not done.stdout:
        raise SystemExit(f"error: basedpyright did not run: {done.stderr.strip()}")
    diagnostics = json.loads(done.stdout)["generalDiagnostics"]
    for diagnostic in diagnostics:
        diagnostic["file"] = str(Path(diagnostic["file"]).relative_to(ROOT))
    return [diagnostic for diagnostic in diagnostics if diagnostic["severity"] == "error"]


def allowed() -> dict[str, int]:
    """File -> number of errors that it may have."""
    lines = (line.split() for line in LIST.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {file: int(count) for file, count in lines}


def main(arguments: list[str]) -> int:
    present, limits = errors(), allowed()
    counts = Counter(diagnostic["file"] for diagnostic in present)
    too_many = {file for file, count in counts.items() if count > limits.get(file, 0)}
    for diagnostic in present:
        if diagnostic["file"] in too_many:
            line = diagnostic["range"]["start"]["line"] + 1
            print(f"{diagnostic['file']}:{line}: {diagnostic['message'].splitlines()[0]} ({diagnostic.get('rule')})")
    for file in sorted(too_many):
        print(f"error: {file}: {counts[file]} type errors, expected at most {limits.get(file, 0)}")
    fewer = {file: counts[file] for file, limit in limits.items() if counts[file] < limit}
    if "--update" in arguments:
        header = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        kept = {file: min(limit, counts[file]) for file, limit in limits.items() if counts[file]}
        LIST.write_text("\n".join([*header, *(f"{file} {count}" for file, count in sorted(kept.items()))]) + "\n")
    else:
        for file, count in sorted(fewer.items()):
            print(f"error: {LIST.name}: {file} has {count} errors now; run: python scripts/check_types.py --update")
    return int(bool(too_many or (fewer and "--update" not in arguments)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
