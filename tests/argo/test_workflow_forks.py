"""Steps that are forked are what they would be as processes started anew, and so is how they end, whoever is killed.

A program in place of `vemseg` does the Python code that it is given; each test looks at it forked beside started. A
whole study both ways is in tests/steps/test_forked_study.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.argo import Result, Workflow, exit_code, run
from pipeline.argo.forks import CAN_FORK

pytestmark = pytest.mark.skipif(not CAN_FORK, reason="no step is forked here")
Make = Callable[[str], Workflow]

PYTHON = sys.executable
PROGRAM = """\
#!{python}
import os, sys
def main():
    exec(compile(sys.argv[1], "step", "exec"), {{"__name__": "step"}})
if link := os.environ.pop("VEMSEG_FORK_LINK", None):
    from pipeline.argo.forkserver import serve
    def import_for(words):
        if "numpy" in words[0]:
            import numpy.random
        if "torch" in words[0]:
            import torch
        if "import subprocess" in words[0]:
            import subprocess
            assert subprocess.run(["false"]).returncode == 1
        if "die-here" in words[0]:
            os._exit(1)
        if "dies-early" in words[0]:
            sys.modules["numpy.random"] = __import__("types").SimpleNamespace(seed=os.abort)
    serve(int(link), import_for, main)
main()
"""
FORKED = "import pathlib; forked = b'steps\\0of' in pathlib.Path('/proc/self/cmdline').read_bytes()\n"
"""Code that sets `forked`: this process has still the command line of the server."""


@dataclass(frozen=True)
class Ended:
    """How a run ended, and its one step: exit codes, message, log."""

    code: int
    exit_code: int | None
    message: str
    log: str


class Bench:
    """A place whose `vemseg` does Python code."""

    def __init__(self, folder: Path, make: Make) -> None:
        self.make, self.state, self.data = make, folder / "state", folder / "data"
        self.data.mkdir()

    def workflow(self, code: str, more: str = "", env: str = "", container: str = "", task: str = "") -> Workflow:
        return self.make(
            f"""
            volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
            templates:
            - name: main
              dag: {{tasks: [{{name: a, template: t{task}}}]}}
            - name: t
              {more or "inputs: {}"}
              container:
                command: [vemseg]
                args: [{json.dumps(code)}, --word=x]
                env: [{env}]
                volumeMounts: [{{name: data, mountPath: /data}}]
                {container}
            """
        )

    def run(self, workflow: Workflow, **options: Any) -> Result:
        options = {"jobs": 2, "grace_seconds": 5, **options}
        return run(workflow, state_dir=self.state, volumes={"data": self.data}, fresh=True, **options)

    def both(self, code: str, **parts: str) -> list[Ended]:
        """Started, then forked."""
        return [self.one(code, forking=forking, **parts) for forking in (False, True)]

    def one(self, code: str, *, forking: bool = True, **parts: str) -> Ended:
        result = self.run(self.workflow(code, **parts), forking=forking)
        node = result.nodes["w.a"]
        log = result.log("w.a")
        return Ended(exit_code(result), node.exit_code, node.message, log.read_text() if log.exists() else "")


@pytest.fixture
def bench(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> Bench:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "vemseg").write_text(PROGRAM.format(python=PYTHON))
    (programs / "vemseg").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    return Bench(tmp_path, make)


LOOK = (
    FORKED
    + """
import gc, json, os, resource, signal, sys, threading, time
links = pathlib.Path("/proc/self/fd")
fds = {int(n): os.readlink(links / n) for n in os.listdir(links) if os.path.lexists(links / n)}
fds = {n: name for n, name in fds.items() if n < 3 or name.endswith("/lock")}
dispositions = {n: str(signal.getsignal(n)) for n in signal.valid_signals()}
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(json.dumps({
    "words": sys.argv, "environment": dict(os.environ), "directory": os.getcwd(), "mask": os.umask(0),
    "is leader": os.getsid(0) == os.getpid() == os.getpgid(0), "streams": sorted(fds.values()),
    "kept by a child of its own": sorted(os.get_inheritable(n) for n in fds), "signals": dispositions,
    "kernel's signals": [status[name].strip() for name in ("SigBlk", "SigIgn", "SigCgt", "Threads")],
    "priority": os.nice(0), "limits": [resource.getrlimit(n) for n in range(16)], "rubbish": gc.isenabled(),
    "input": sys.stdin.read(), "encodings": [sys.stdout.encoding, sys.stderr.errors, sys.getfilesystemencoding()],
    "oom": pathlib.Path("/proc/self/oom_score_adj").read_text(), "threads": len(threading.enumerate()),
    "is charged for itself": time.process_time() < 5,
}), flush=True)
print(json.dumps([forked, pathlib.Path("/proc/self/comm").read_text()]), file=sys.stderr)
"""
)


def test_a_fork_has_all_that_a_started_process_has(bench: Bench) -> None:
    env = "{name: VEMSEG_OWN, value: 'ü'}, {name: MINE, value: /data/x}"
    started, forked = (ended.log.splitlines() for ended in bench.both(LOOK, env=env, container="workingDir: /data"))
    assert json.loads(forked[0]) == json.loads(started[0])
    assert json.loads(started[0])["environment"]["MINE"] == f"{bench.data}/x"
    assert (json.loads(started[1])[0], json.loads(forked[1])[0]) == (False, True)
    assert json.loads(forked[1])[1].startswith("vemseg import")


def test_a_runner_that_ignores_a_signal_hands_that_on(bench: Bench) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        started, forked = (json.loads(ended.log.splitlines()[0]) for ended in bench.both(LOOK))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert forked["signals"] == started["signals"]
    assert forked["signals"][str(int(signal.SIGHUP))] == str(signal.SIG_IGN)


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("sys.exit(75)", 75),
        ("sys.exit('what is wrong')", 1),
        ("raise ValueError(3)", 1),
        ("signal.raise_signal(signal.SIGINT)", 130),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), 9)", 137),
        ("os.kill(os.getpid(), 15)", 143),
        ("os.abort()", 134),
        ("print('buffered', end='')", 0),
        ("print('said'); sys.stdout.close()", 0),
        ("atexit.register(print, 'at the end')", 0),
        ("threading.Thread(target=lambda: (time.sleep(0.2), print('by a thread'))).start()", 0),
    ],
)
def test_an_end_is_told_and_written_the_same(code: str, ended: int, bench: Bench) -> None:
    started, forked = bench.both(f"import atexit, os, signal, sys, threading, time\n{code}")
    assert (started.code, started.exit_code) == (forked.code, forked.exit_code) == (ended, ended)
    # Of a traceback, what is the step's own.
    assert forked.log.split('File "step"')[-1] == started.log.split('File "step"')[-1]


def test_output_that_cannot_be_written_is_no_success(bench: Bench) -> None:
    started, forked = bench.both("import sys; sys.stdout = open('/dev/full', 'w'); print('lost')")
    assert started.code == forked.code == 120
    assert "No space left" in forked.log


def test_what_a_step_prints_is_its_result(bench: Bench) -> None:
    script = """
        templates:
        - name: main
          dag:
            tasks:
            - {name: a, template: s}
            - name: b
              depends: a
              template: t
              arguments: {parameters: [{name: x, value: '{{tasks.a.outputs.result}}'}]}
        - {name: s, container: {command: [vemseg, "import sys; print('out'); print('log', file=sys.stderr)"]}}
        - name: t
          inputs: {parameters: [{name: x}]}
          container: {command: [vemseg, "import sys; sys.exit(sys.argv[2] != 'out')", "{{inputs.parameters.x}}"]}
        """
    assert run(bench.make(script), state_dir=bench.state).phase == "Succeeded"


def test_progress_goes_to_the_file_of_its_own_step(bench: Bench) -> None:
    code = f"{FORKED}\nassert forked; import os\npathlib.Path(os.environ['ARGO_PROGRESS_FILE']).write_text('2/3')"
    assert bench.run(bench.workflow(code)).nodes["w.a"].progress == "2/3"


def test_an_order_may_be_as_large_as_a_command_line(bench: Bench) -> None:
    env = f"{{name: VEMSEG_LARGE, value: {'x' * 100_000}}}, {{name: LARGE, value: {'y' * 100_000}}}"
    code = f"{FORKED}\nimport os; assert forked\nprint(len(os.environ['LARGE'] + os.environ['VEMSEG_LARGE']))"
    assert bench.one(f"{code}\n#{'z' * 100_000}", env=env).log == "200000\n"


def test_a_word_that_is_no_unicode_is_handed_on(bench: Bench) -> None:
    """As a path may be."""
    code = f"{FORKED}import os, sys; assert forked; assert os.fsencode(sys.argv[2]) == bytes([255])"
    workflow = bench.make(
        f"""
        arguments: {{parameters: [{{name: x}}]}}
        volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
        templates:
        - name: main
          container:
            command: [vemseg]
            args: [{json.dumps(code)}, "{{{{workflow.parameters.x}}}}"]
            volumeMounts: [{{name: data, mountPath: /data}}]
        """
    )
    assert bench.run(workflow, parameters={"x": "\udcff"}).phase == "Succeeded"


def test_forks_draw_different_random_numbers(bench: Bench) -> None:
    code = (
        f"{FORKED}import random, tempfile, uuid, numpy.random\nassert forked\n"
        "drawn = [random.random(), numpy.random.rand(), uuid.uuid4(), tempfile.mktemp()]\n"
        "print(*drawn, file=open(f'/data/{uuid.uuid4()}', 'w'))"
    )
    assert bench.run(bench.workflow(code, task=", withSequence: {count: 3}")).phase == "Succeeded"
    drawn = [path.read_text().split() for path in bench.data.iterdir()]
    assert all(len(set(each)) == 3 for each in zip(*drawn, strict=True))


THREADS = FORKED + (
    "import torch, numpy, threadpoolctl, hashlib\n"
    "torch.manual_seed(0); x = torch.randn(4, 8, 64, 64); net = torch.nn.Conv2d(8, 8, 3)\n"
    "for _ in range(3): net(x).square().sum().backward()\n"
    "a = numpy.random.default_rng(0).normal(size=(700, 700))\n"
    "b = (a @ a).tobytes() + net.weight.grad.numpy().tobytes()\n"
    "pools = sorted((p['internal_api'], p['num_threads']) for p in threadpoolctl.threadpool_info())\n"
    "print(forked); print(torch.get_num_threads(), pools, hashlib.sha256(b).hexdigest())"
)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_of_a_started_process_and_so_are_the_numbers(threads: int, bench: Bench) -> None:
    env = ", ".join(f"{{name: {name}_NUM_THREADS, value: '{threads}'}}" for name in ("OMP", "OPENBLAS", "MKL"))
    started, forked = (ended.log.splitlines() for ended in bench.both(THREADS, env=env))
    assert (started[0], forked[0]) == ("False", "True")
    assert forked[1] == started[1]
    assert started[1].startswith(f"{threads} ")


def test_a_step_with_other_variables_for_its_libraries_is_started(bench: Bench) -> None:
    env = ", ".join(
        f"{{name: {name}, value: '{{{{inputs.parameters.i}}}}'}}" for name in ("OMP_NUM_THREADS", "VEMSEG_I")
    )
    code = f"{FORKED}import os, sys\nprint(forked, file=open('/data/' + os.environ['VEMSEG_I'], 'w'))"
    task = ", withSequence: {count: 2, start: 1}, arguments: {parameters: [{name: i, value: '{{item}}'}]}"
    bench.run(bench.workflow(code, more="inputs: {parameters: [{name: i}]}", env=env, task=task), jobs=1)
    assert [(bench.data / i).read_text() for i in "12"] == ["True\n", "False\n"]


def test_a_directory_that_is_not_there_is_a_step_that_cannot_start(bench: Bench) -> None:
    started, forked = bench.both("pass", container="workingDir: /data/none")
    assert started.code == forked.code == 64
    assert forked.message == started.message


def test_a_program_that_serves_nobody_is_started(bench: Bench) -> None:
    Path(sys.executable).with_name("vemseg").write_text('#!/bin/sh\necho "$1"\n')
    result = bench.run(bench.workflow("said", task=", withSequence: {count: 2}"))
    assert result.phase == "Succeeded"
    assert result.log("w.a(0:0)").read_text() == "said\n"


# Who is killed

KILL_SERVER = FORKED + (
    "import os, signal, sys, time\n"
    "if os.path.exists('/data/first'):\n"
    "    first = open('/data/first').read()\n"
    "    state = pathlib.Path('/proc', first, 'stat')\n"
    "    assert forked\n"
    "    assert not state.exists() or ' Z ' in state.read_text(), 'twice at once'\n"
    "    sys.exit(0)\n"
    "open('/data/first', 'w').write(str(os.getpid()))\n"
    "os.kill(os.getppid(), signal.SIGKILL)\n"
    "time.sleep(60)"
)


def test_a_killed_server_ends_its_steps_and_the_next_try_has_a_new_one(bench: Bench) -> None:
    assert exit_code(bench.run(bench.workflow(KILL_SERVER))) == 137
    (bench.data / "first").unlink()
    retry = "retryStrategy: {limit: 1, expression: asInt(lastRetry.exitCode) == 137}"
    assert bench.run(bench.workflow(KILL_SERVER, more=retry)).phase == "Succeeded"


def test_a_step_whose_server_dies_before_it_begins_is_started(bench: Bench) -> None:
    code = f"{FORKED}print(forked, file=open('/data/die-here', 'a'))"
    assert bench.run(bench.workflow(code, task=", withSequence: {count: 2}"), jobs=1).phase == "Succeeded"
    assert (bench.data / "die-here").read_text() == "False\nFalse\n"


def test_a_fork_that_dies_before_it_begins_takes_no_other_with_it(bench: Bench) -> None:
    waits = json.dumps(f"{FORKED}import time; assert forked; time.sleep(1)")
    workflow = bench.make(
        f"""
        templates:
        - name: main
          dag: {{failFast: false, tasks: [{{name: a, template: s}}, {{name: b, template: t}}]}}
        - {{name: s, container: {{command: [vemseg, {waits}]}}}}
        - {{name: t, container: {{command: [vemseg, "dies-early = 1"]}}}}
        """
    )
    nodes = run(workflow, state_dir=bench.state, jobs=2).nodes
    assert (nodes["w.a"].exit_code, nodes["w.b"].exit_code) == (0, 134)


DRIVER = """
import sys
from pipeline.argo import exit_code, load, run
sys.executable, file, state, data = sys.argv[1:]
sys.exit(exit_code(run(load(file), state_dir=state, volumes={"data": data}, grace_seconds=5)))
"""


def _alive(pid: str) -> bool:
    stat = Path("/proc", pid, "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_runner_leaves_steps_to_the_next_one_and_no_server(bench: Bench, tmp_path: Path) -> None:
    code = FORKED + (
        "import os, signal, sys, time\nassert forked\nif os.path.exists('/data/pids'):\n"
        "    assert not os.path.exists('/data/alone'); sys.exit(0)\n"
        "open('/data/alone', 'w'); stop = lambda *_: (os.remove('/data/alone'), sys.exit(75))\n"
        "signal.signal(signal.SIGTERM, stop); open('/data/new', 'w').write(f'{os.getpid()} {os.getppid()}')\n"
        "os.rename('/data/new', '/data/pids'); time.sleep(60)"
    )
    bench.workflow(code)
    words = [PYTHON, "-c", DRIVER, sys.executable, tmp_path / "w.yaml", bench.state, bench.data]
    runner = subprocess.Popen(words)
    _wait_for((bench.data / "pids").exists)
    step, server = (bench.data / "pids").read_text().split()
    runner.kill()
    runner.wait()
    _wait_for(lambda: not _alive(server))
    assert _alive(step)
    assert subprocess.run(words, timeout=60).returncode == 0
    assert not _alive(step)
    assert not (bench.data / "alone").exists()


def test_nothing_is_left_of_a_run(bench: Bench) -> None:
    code = f"{FORKED}assert forked\nimport os; print(os.getpid(), os.getppid(), file=open('/data/pids', 'a'))"
    bench.run(bench.workflow(code, task=", withSequence: {count: 3}"))
    numbers = (bench.data / "pids").read_text().split()
    assert len(set(numbers)) == 4
    assert not [number for number in numbers if Path("/proc", number).exists()]


def test_a_step_that_is_stopped_ends_with_all_that_it_started(bench: Bench) -> None:
    code = f"{FORKED}assert forked\nimport subprocess, time\nsubprocess.Popen(['sleep', '987']); time.sleep(60)"
    started, forked = bench.both(code.replace("assert forked\n", ""), more="activeDeadlineSeconds: 1")
    assert started.exit_code == forked.exit_code == 143
    sleeping = [p for p in Path("/proc").glob("[0-9]*") if (p / "cmdline").exists() and _sleeps(p)]
    assert not sleeping


def _sleeps(process: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes() == b"sleep\x00987\x00"
    except OSError:
        return False


def test_ended_steps_leave_no_zombie_while_the_run_goes_on(bench: Bench) -> None:
    code = (
        f"{FORKED}assert forked\nimport os, time; mine = '{{{{item}}}}'\n"
        "open('/data/ended', 'a').write(f'{os.getpid()}\\n')\n"
        "if mine != '2': raise SystemExit\n"
        "time.sleep(1)\n"
        "for pid in open('/data/ended').read().split()[:-1]: assert not os.path.exists(f'/proc/{pid}'), pid"
    ).replace("{{item}}", "{{inputs.parameters.i}}")
    task = ", withSequence: {count: 3}, arguments: {parameters: [{name: i, value: '{{item}}'}]}"
    result = bench.run(bench.workflow(code, more="inputs: {parameters: [{name: i}]}", task=task), jobs=1)
    assert result.phase == "Succeeded"
