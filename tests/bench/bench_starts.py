"""What it costs to start: a step as a process of its own beside a fork, the runner itself, and `vemseg --help`.

Processor seconds, medians and ranges over repetitions that take turns. A start is all but the work of a step: Python,
imports, the command line, the end of the process. The aims are 0.35 s for the start of a step, 0.05 s of the runner
a node and 0.2 s for the help.

    .venv/bin/python -m tests.bench.bench_starts
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from pipeline.argo import load, run
from pipeline.argo.forks import Order, Server
from pipeline.argo.processes import THREAD_VARIABLES

STEPS = ("augment", "train", "infer", "evaluate")
FORKS = 5
"""One after another in one measurement: the kernel counts in hundredths of a second."""
PROGRAM = """\
#!{python}
import os, sys
from pipeline.cli import main
from pipeline.cli.warm import import_for
def start():
    import_for(sys.argv[1:])
    sys.argv[1:] = ["--version"]
    main.main()
if link := os.environ.pop("VEMSEG_FORK_LINK", None):
    from pipeline.argo.forkserver import serve
    serve(int(link), import_for, start)
start()
"""
"""What `vemseg` is but for the work: it imports for a step, reads a command line and ends."""
NODES = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: trivial}}
spec:
  entrypoint: main
  templates:
  - name: main
    dag:
      tasks: [{{name: each, template: trivial, withSequence: {{count: "{count}"}}}}]
  - {{name: trivial, container: {{command: ["true"]}}}}
"""


def started(words: Sequence[str | Path], environment: dict[str, str]) -> float:
    """Processor seconds of a process from its beginning to its end."""
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return used.ru_utime + used.ru_stime


class Forked:
    """A server with all steps' imports, and what its forks use."""

    def __init__(self, program: Path, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder
        self.server = Server(str(program), environment, folder / "log")
        self.pid = self.server._process.pid
        for step in STEPS:
            self.fork(step)

    def fork(self, step: str) -> float:
        """Processor seconds of a fork, the server's share of it included."""
        before = self._used()
        with (self.folder / "out").open("wb") as out, (self.folder / "lock").open("wb") as lock:
            order = Order([step], self.environment, str(self.folder), out.fileno(), out.fileno(), lock.fileno())
            for _ in range(FORKS):
                assert self.server.fork(order).wait() == 0
        return (self._used() - before) / FORKS

    def _used(self) -> float:
        """Of the server and of all forks that have ended: fields 14 to 17 (proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def runner(nodes: int, folder: Path) -> float:
    """Processor seconds of the runner itself a node, in a workflow of nodes that do nothing."""
    file = folder / "trivial.yaml"
    file.write_text(NODES.format(count=nodes))
    with tempfile.TemporaryDirectory(dir=folder) as state:
        before = time.process_time()
        assert run(load(file), state_dir=state, jobs=4).phase == "Succeeded"
        return (time.process_time() - before) / nodes


def shown(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--nodes", type=int, default=200)
    options = parser.parse_args()
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program = folder / "program"
        program.write_text(PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        forked = Forked(program, environment, folder)
        for _ in range(options.repetitions):
            for step in STEPS:
                found[step, "started"].append(started([program, step], environment))
                found[step, "forked"].append(forked.fork(step))
            found["help", ""].append(started([Path(sys.executable).with_name("vemseg"), "--help"], environment))
            found["runner", ""].append(runner(options.nodes, folder))
        forked.server.end()
    print("| start of | a process, s | a fork, s | ratio |\n|---|---:|---:|---:|")
    for step in STEPS:
        process, fork = found[step, "started"], found[step, "forked"]
        ratio = statistics.median(process) / statistics.median(fork)
        print(f"| {step} | {shown(process)} | {shown(fork)} | {ratio:.0f} |")
    print(f"\nrunner a node, of {options.nodes}: {shown(found['runner', ''])} s; aimed at 0.05")
    print(f"vemseg --help: {shown(found['help', ''])} s; aimed at 0.2")


if __name__ == "__main__":
    main()
