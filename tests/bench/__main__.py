"""All benchmarks of speed, each in a process of its own, as one table with spread, JSON and a plot.

make bench                                                  # prints the table; build/bench.json, build/bench.png
git worktree add ../before fbc39db && make bench BEFORE=../before
python -m tests.bench --only inference,training --repetitions 5
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.run.machine import description
from tests.bench.table import Row, draw, markdown

BENCHES = ("inference", "study", "training", "loading", "augmentation", "scoring", "render", "objects", "checksums")
BUILDS = "builds"
"""Takes a checkout of an earlier build."""


def measured(name: str, words: Sequence[str], folder: Path) -> list[Row]:
    """The rows of a benchmark; none, and a word of it, where it fails."""
    place = folder / f"{name}.json"
    command = [sys.executable, "-m", f"tests.bench.bench_{name}", "--json", str(place), *words]
    print(f"{name} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not place.exists():
        print(f"{name} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return []
    return [Row.from_json(each) for each in json.loads(place.read_text(encoding="utf-8"))]


def main() -> None:
    """Measure, print, and write; ends with 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"some of {', '.join((*BENCHES, BUILDS))}, with commas between")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier build, to be compared with")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch, the same for all (default 1)")
    parser.add_argument("--repetitions", type=int, help="turns that are measured; default: each benchmark's own")
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder of bench.json and bench.png")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else [*BENCHES, *([BUILDS] if asked.before else [])]
    unknown = set(names) - {*BENCHES, BUILDS}
    if unknown or (BUILDS in names and not asked.before):
        parser.error(f"there is no {', '.join(unknown)}" if unknown else f"{BUILDS} needs --before CHECKOUT")
    words = ["--threads", str(asked.threads)]
    words += ["--repetitions", str(asked.repetitions)] if asked.repetitions else []
    with tempfile.TemporaryDirectory() as folder:
        found = {
            name: measured(name, [*([str(asked.before)] if name == BUILDS else []), *words], Path(folder))
            for name in names
        }
    rows = [row for of_bench in found.values() for row in of_bench]
    print(markdown(rows))
    asked.out.mkdir(parents=True, exist_ok=True)
    facts = {"machine": description(), "threads": asked.threads, "rows": [row.as_json() for row in rows]}
    (asked.out / "bench.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    if rows:
        draw(rows, asked.out / "bench.png")
    sys.exit(any(not of_bench for of_bench in found.values()))


if __name__ == "__main__":
    main()
