"""What the steps of runs took, as a table: peak memory and CPU time, from the metrics that each step leaves in its run.

python -m tests.bench.table_requests runs/mine ...          default requests follow from it (charts/vemseg/README.md)
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SERIES = re.compile(r"^(vemseg_memory_peak_bytes|vemseg_cpu_seconds_total)\{([^}]*)\} ([0-9.e+]+)", re.MULTILINE)
STEP = re.compile(r'step="([^"]+)"')


def measured(run: Path) -> Iterator[tuple[str, str, float]]:
    """Step, series and value of all that the run's steps have left."""
    for path in sorted((run / "metrics").glob("*.prom")):
        for series, labels, value in SERIES.findall(path.read_text()):
            step = STEP.search(labels)
            assert step is not None, f"{path}: {labels}"
            yield step[1], series, float(value)


def main() -> None:
    """Print the largest of each step over all runs."""
    most: dict[str, dict[str, float]] = defaultdict(dict)
    for run in sys.argv[1:]:
        for step, series, value in measured(Path(run)):
            most[step][series] = max(value, most[step].get(series, 0.0))
    print("| step | peak memory, GiB | CPU, s |")
    print("|:---|---:|---:|")
    for step, values in most.items():
        memory, cpu = values["vemseg_memory_peak_bytes"], values["vemseg_cpu_seconds_total"]
        print(f"| {step} | {memory / 2**30:.2f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
