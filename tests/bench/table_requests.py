"""What the steps of runs took, and what their pods ask for, as a table; from the metrics that each step leaves.

python -m tests.bench.table_requests runs/mine ...          default requests follow from it (charts/vemseg/README.md)
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import yaml

WORKFLOWS = Path(__file__).parents[2] / "workflows"
SERIES = re.compile(r"^(vemseg_memory_peak_bytes|vemseg_cpu_seconds_total)\{([^}]*)\} ([0-9.e+]+)", re.MULTILINE)
STEP = re.compile(r'step="([^"]+)"')
ASKED = re.compile(r"workflow\.parameters\.([a-z]+)-memory")


def measured(run: Path) -> Iterator[tuple[str, str, float]]:
    """Step, series and value of all that the run's steps have left."""
    for path in sorted((run / "metrics").glob("*.prom")):
        for series, labels, value in SERIES.findall(path.read_text()):
            step = STEP.search(labels)
            assert step is not None, f"{path}: {labels}"
            yield step[1], series, float(value)


def asked() -> dict[str, tuple[str, str]]:
    """Step -> CPUs and memory that its pod asks for by default."""
    found = {}
    for path in sorted(WORKFLOWS.glob("*.yaml")):
        spec = yaml.safe_load(path.read_text())["spec"]
        parameters = spec["arguments"]["parameters"]
        default = {each["name"]: each.get("valueFrom", {}).get("default", "") for each in parameters}
        for template in spec["templates"]:
            if "container" in template:
                step = "-".join(template["container"]["command"][1:])
                (kind,) = set(ASKED.findall(template["podSpecPatch"]))
                found[step] = default[f"{kind}-cpu"], default[f"{kind}-memory"]
    return found


def main() -> None:
    """Print the largest of each step over all runs."""
    most: dict[str, dict[str, float]] = defaultdict(dict)
    for run in sys.argv[1:]:
        for step, series, value in measured(Path(run)):
            most[step][series] = max(value, most[step].get(series, 0.0))
    requests = asked()
    print("| step | peak memory, GiB | CPU, s | asks for CPUs | asks for memory |")
    print("|:---|---:|---:|---:|---:|")
    for step, values in most.items():
        request = requests.get(step) or requests.get(f"boost-{step}")
        if request is None:
            continue  # a part of another step, such as the renders of evaluate, in whose figures it is
        memory, cpu = values["vemseg_memory_peak_bytes"], values["vemseg_cpu_seconds_total"]
        print(f"| {step} | {memory / 2**30:.2f} | {cpu:.0f} | {' | '.join(request)} |")


if __name__ == "__main__":
    main()
