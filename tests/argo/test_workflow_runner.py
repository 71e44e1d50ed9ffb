"""Processes: each is run once, as often as its retries say, and never twice at once, whatever is killed.

The scripts are small `sh` lines that leave a line in a file for each time they run. Phases are in
test_workflow_phases, the order of things in test_workflow_scheduling.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.argo import Result, Workflow, exit_code, for_console, run
from pipeline.argo.processes import THREAD_VARIABLES, expanded, mapped
from pipeline.errors import RunConflictError, WorkflowError

Make = Callable[[str], Workflow]
Write = Callable[[str], Path]

# Three tasks in a row; each notes that it ran, and then does what its variable says.
CHAIN = """
arguments:
  parameters: [{name: a, value: 'true'}, {name: b, value: 'true'}, {name: c, value: 'true'}]
volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
templates:
- name: main
  dag:
    tasks:
    - name: a
      template: t
      arguments: {parameters: [{name: note, value: a}, {name: do, value: '{{workflow.parameters.a}}'}]}
    - name: b
      template: t
      depends: a
      arguments: {parameters: [{name: note, value: b}, {name: do, value: '{{workflow.parameters.b}}'}]}
    - name: c
      template: t
      depends: b
      arguments: {parameters: [{name: note, value: c}, {name: do, value: '{{workflow.parameters.c}}'}]}
- name: t
  inputs: {parameters: [{name: note}, {name: do}]}
  container:
    command: [sh, -c]
    args: ["echo {{inputs.parameters.note}} >> /data/ran; {{inputs.parameters.do}}"]
    volumeMounts: [{name: data, mountPath: /data}]
"""


class Place:
    """A state directory and a data volume below `tmp_path`."""

    def __init__(self, tmp_path: Path) -> None:
        self.state, self.data = tmp_path / "state", tmp_path / "data"

    def run(self, workflow: Workflow, parameters: dict[str, str] | None = None, **options: object) -> Result:
        options = {"jobs": 4, "grace_seconds": 5, "volumes": {"data": self.data}, **options}
        return run(workflow, parameters, state_dir=self.state, **options)  # type: ignore[arg-type]

    def ran(self) -> str:
        file = self.data / "ran"
        return file.read_text().replace("\n", "") if file.exists() else ""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_failed_run_goes_on_where_it_failed(make: Make, place: Place) -> None:
    workflow = make(CHAIN)
    first = place.run(workflow, {"b": "test -e /data/mended"})
    assert (first.phase, exit_code(first), place.ran()) == ("Failed", 1, "ab")
    (place.data / "mended").touch()
    second = place.run(workflow, {"b": "test -e /data/mended"})
    assert (second.phase, exit_code(second), place.ran()) == ("Succeeded", 0, "abbc")


def test_a_changed_input_runs_its_node_and_all_after_it_again(make: Make, place: Place) -> None:
    workflow = make(CHAIN)
    place.run(workflow, {"c": "exit 1"})
    place.run(workflow, {"b": ":", "c": "exit 1"})
    assert place.ran() == "abcbc"
    place.run(workflow, {"a": ":", "b": ":", "c": "exit 1"})
    assert place.ran() == "abcbcabc"


def test_a_changed_file_counts_as_a_changed_input(make: Make, place: Place, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("one")
    workflow = make(
        """
        volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
        arguments: {parameters: [{name: config}]}
        templates:
        - name: main
          dag: {tasks: [{name: a, template: t}, {name: b, template: fail, depends: a}]}
        - {name: fail, container: {command: ['false']}}
        - name: t
          container:
            command: [sh, -c, "echo x >> /data/ran", "--config={{workflow.parameters.config}}"]
            volumeMounts: [{name: data, mountPath: /data}]
        """
    )
    for content, runs in (("one", 1), ("one", 1), ("two", 2)):
        config.write_text(content)
        place.run(workflow, {"config": str(config)})
        assert len(place.ran()) == runs


def test_a_finished_run_and_a_fresh_one_start_from_the_beginning(make: Make, place: Place) -> None:
    workflow = make(CHAIN)
    place.run(workflow)
    place.run(workflow, {"c": "exit 1"})
    assert place.ran() == "abcabc"
    place.run(workflow, {"c": "exit 1"}, fresh=True)
    assert place.ran() == "abcabcabc"


def test_no_node_is_taken_for_done_when_results_are_damaged(make: Make, place: Place) -> None:
    place.run(make(CHAIN), {"c": "exit 1"})
    place.run(make(CHAIN), {"c": "exit 1"}, is_whole=lambda: True)
    assert place.ran() == "abcc"
    place.run(make(CHAIN), {"c": "exit 1"}, is_whole=lambda: False)
    assert place.ran() == "abccabc"


def test_a_node_that_succeeded_at_its_second_try_is_not_repeated(make: Make, place: Place) -> None:
    spec = CHAIN + "  retryStrategy: {limit: 1}\n"
    once = "test -e /data/once || { touch /data/once; exit 1; }"
    place.run(make(spec), {"a": once, "c": "exit 1"})
    assert place.ran() == "aabcc"
    result = place.run(make(spec), {"a": once, "c": "exit 1"})
    assert place.ran() == "aabcccc"
    assert result.nodes["w.a"].phase == result.nodes["w.b"].phase == "Succeeded"


@pytest.mark.parametrize("options", [{"volumes": {"dta": "x"}}, {"semaphores": {"c/k": 2}}])
def test_a_volume_or_semaphore_that_nobody_uses_is_refused(
    options: dict[str, object], make: Make, place: Place
) -> None:
    with pytest.raises(WorkflowError, match="has no"):
        place.run(make(CHAIN), **options)


def test_a_claim_may_be_named_by_a_parameter(make: Make, place: Place) -> None:
    spec = CHAIN.replace("claimName: data", "claimName: '{{workflow.parameters.a}}'")
    assert place.run(make(spec), {"a": "true"}, volumes={"true": place.data}).phase == "Succeeded"
    assert place.ran() == "abc"


# The runner as a process of its own, to be killed

DRIVER = """
import sys
from rich.console import Console
from pipeline.argo import exit_code, for_console, load, run
file, state, data, grace, *parameters = sys.argv[1:]
values = dict(parameter.split("=", 1) for parameter in parameters)
result = run(load(file), values, state_dir=state, jobs=4, volumes={"data": data}, grace_seconds=float(grace),
             view=for_console(Console()))
sys.exit(exit_code(result))
"""


def _start(file: Path, place: Place, *parameters: str, grace: float = 5) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(file), str(place.state), str(place.data), str(grace), *parameters]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def _end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=20)
    return process.returncode


def test_after_the_runner_was_killed_nothing_is_repeated_nor_run_twice_at_once(write: Write, place: Place) -> None:
    file = write(CHAIN)
    # b takes a directory as a lock for as long as it lives: a second one beside it would fail
    script = "b=test -e /data/go || { mkdir /data/alone; trap 'rmdir /data/alone; exit 75' TERM; sleep 60 & wait; }"
    runner = _start(file, place, script)
    _wait_for((place.data / "alone").exists)
    runner.kill()
    assert _end(runner) == -signal.SIGKILL
    assert (place.data / "alone").exists()  # its process lives on
    (place.data / "go").touch()
    assert _end(_start(file, place, script)) == 0
    assert place.ran() == "abbc"
    assert not (place.data / "alone").exists()


def test_an_orphan_that_ignores_sigterm_is_killed(write: Write, place: Place) -> None:
    file = write(CHAIN)
    script = "b=test -e /data/go || { trap '' TERM; touch /data/deaf; sleep 60; }"
    runner = _start(file, place, script)
    _wait_for((place.data / "deaf").exists)
    runner.kill()
    _end(runner)
    (place.data / "go").touch()
    assert _end(_start(file, place, script, grace=0.3)) == 0
    assert place.ran() == "abbc"


def test_two_runners_do_not_share_a_state_directory(write: Write, make: Make, place: Place) -> None:
    runner = _start(write(CHAIN), place, "a=sleep 60")
    _wait_for(lambda: place.ran() == "a")
    with pytest.raises(RunConflictError, match=f"process {runner.pid}"):
        place.run(make(CHAIN))
    runner.send_signal(signal.SIGTERM)
    assert _end(runner) == 75


def test_ctrl_c_waits_for_checkpoints_and_the_same_command_goes_on(write: Write, place: Place) -> None:
    file = write(CHAIN)
    save = "trap 'sleep 0.3; touch /data/saved; exit 75' TERM"
    script = f"b=test -e /data/saved || {{ {save}; touch /data/up; sleep 60 & wait; }}"
    runner = _start(file, place, script)
    _wait_for((place.data / "up").exists)
    runner.send_signal(signal.SIGINT)
    assert _end(runner) == 75
    assert (place.data / "saved").exists()
    assert _end(_start(file, place, script)) == 0
    assert place.ran() == "abbc"


def test_a_second_ctrl_c_kills(write: Write, place: Place) -> None:
    runner = _start(write(CHAIN), place, "b=trap '' TERM; touch /data/deaf; sleep 60", grace=60)
    _wait_for((place.data / "deaf").exists)
    runner.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert runner.poll() is None
    began = time.monotonic()
    runner.send_signal(signal.SIGINT)
    assert _end(runner) == 75
    assert time.monotonic() - began < 5


def test_a_broken_state_file_means_a_new_run(make: Make, place: Place) -> None:
    place.run(make(CHAIN), {"c": "exit 1"})
    (place.state / "state.json").write_text('{"format": 1')
    assert place.run(make(CHAIN)).phase == "Succeeded"
    assert place.ran() == "abcabc"


def test_the_state_is_readable_json(make: Make, place: Place) -> None:
    place.run(make(CHAIN), {"c": "exit 7"})
    content = json.loads((place.state / "state.json").read_text())
    phases = {node["name"]: (node["phase"], node["exit_code"]) for node in content["nodes"]}
    assert content["phase"] == "Failed"
    assert phases == {"w": ("Failed", None), "w.a": ("Succeeded", 0), "w.b": ("Succeeded", 0), "w.c": ("Failed", 7)}


# Exit codes, timeouts, jobs

ONE = """
volumes: [{name: data, persistentVolumeClaim: {claimName: data}}, {name: tmp, emptyDir: {}}]
templates:
- name: main
  dag: {tasks: [{name: a, template: t%s}]}
- name: t
%s
  container:
    command: [sh, -c]
    args: [%s]
    volumeMounts: [{name: data, mountPath: /data}, {name: tmp, mountPath: /tmp}]
"""


def _one(script: str, more: str = "", task: str = "") -> str:
    return ONE % (task, textwrap.indent(more or "inputs: {}", "  "), json.dumps(script))


@pytest.mark.parametrize(
    ("script", "code"), [("exit 2", 2), ("exit 75", 75), ("kill -9 $$$$", 137), ("kill -15 $$$$", 143)]
)
def test_the_exit_code_of_the_run_is_that_of_the_failed_node(script: str, code: int, make: Make, place: Place) -> None:
    result = place.run(make(_one(script)))
    assert exit_code(result) == code
    assert result.nodes["w.a"].message == f"main: Error (exit code {code})"


def test_a_failure_of_its_own_outranks_a_killed_process(make: Make, place: Place) -> None:
    script = "if test {{inputs.parameters.i}} = 0; then kill -9 $$$$; else sleep 0.2; exit 2; fi"
    arguments = ", withSequence: {count: 2}, arguments: {parameters: [{name: i, value: '{{item}}'}]}"
    assert exit_code(place.run(make(_one(script, "inputs: {parameters: [{name: i}]}", arguments)))) == 2


def test_only_what_the_expression_names_is_tried_again(make: Make, place: Place) -> None:
    retry = "retryStrategy: {limit: 5, expression: 'asInt(lastRetry.exitCode) in [75, 137]'}"
    script = "echo x >> /data/ran; case {{retries}} in 0) exit 75;; 1) kill -9 $$$$;; *) exit 3;; esac"
    result = place.run(make(_one(script, retry)))
    assert place.ran() == "xxx"
    assert exit_code(result) == 3


def test_a_command_that_does_not_exist_is_a_failure(make: Make, place: Place) -> None:
    result = place.run(make("templates: [{name: main, container: {command: [no-such-program]}}]"), volumes={})
    assert (result.phase, exit_code(result)) == ("Failed", 64)
    assert "no-such-program" in result.message


def test_a_log_holds_all_of_both_streams_in_their_order(make: Make, place: Place) -> None:
    result = place.run(make(_one("echo one; echo two >&2; echo three; echo four >&2")))
    assert result.log("w.a").read_text() == "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize("limit", ["activeDeadlineSeconds: 1", "timeout: 500ms"])
def test_a_pod_past_its_deadline_is_ended_with_all_it_started(limit: str, make: Make, place: Place) -> None:
    began = time.monotonic()
    result = place.run(make(_one("trap 'exit 143' TERM; (sleep 60; touch /data/late) & wait", limit)))
    assert time.monotonic() - began < 4
    node = result.nodes["w.a"]
    assert (node.phase, node.exit_code) == ("Failed", 143)
    assert "deadline" in node.message


def test_a_pod_that_ignores_sigterm_is_killed_after_the_grace_period(make: Make, place: Place) -> None:
    result = place.run(make(_one("trap '' TERM; sleep 60", "activeDeadlineSeconds: 1")), grace_seconds=0.3)
    assert result.nodes["w.a"].exit_code == 137


def test_the_workflows_deadline_ends_what_runs_but_not_the_exit_handler(make: Make, place: Place) -> None:
    spec = _one("sleep 60") + "- {name: bye, container: {command: [sh, -c, 'exit 0']}}\n"
    result = place.run(make(f"activeDeadlineSeconds: 1\nonExit: bye\n{spec}"))
    assert result.phase == "Failed"
    assert result.nodes["w.a"].message == "Step exceeded its deadline"
    assert result.nodes["w.onExit"].phase == "Succeeded"


@pytest.mark.parametrize(("jobs", "most"), [(1, 1), (3, 3), (9, 6)])
def test_as_many_processes_as_jobs(jobs: int, most: int, make: Make, place: Place) -> None:
    """They wait for one another until all that may run at once have met, however long it takes to start them."""
    enter = "mkdir -p /data/on; touch /data/on/$$$$"
    met = f"test -e /data/met || test `ls /data/on | wc -l` -ge {most}"
    meet = f"for try in `seq 200`; do if {met}; then touch /data/met; break; fi; sleep 0.1; done"
    count, leave = "sleep 0.15; ls /data/on | wc -l >> /data/counts", "sleep 0.15; rm /data/on/$$$$"
    place.run(make(_one(f"{enter}; {meet}; {count}; {leave}", task=", withSequence: {count: 6}")), jobs=jobs)
    assert max(int(line) for line in (place.data / "counts").read_text().split()) == most


@pytest.mark.parametrize(
    ("given", "threads"), [({}, "2"), ({"OMP_NUM_THREADS": "1"}, "1"), ({"MKL_NUM_THREADS": "7"}, "7")]
)
def test_threads_are_shared_out_unless_the_environment_says(
    given: dict[str, str], threads: str, make: Make, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the variables speaks for all: PyTorch takes MKL's number, though OpenMP's be another."""
    monkeypatch.setattr("pipeline.argo.local.cores", lambda: 8)
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    place.run(make(_one("echo $OMP_NUM_THREADS $MKL_NUM_THREADS $PATH > /data/out")), jobs=3)
    omp, mkl, path = (place.data / "out").read_text().split(maxsplit=2)
    assert (omp, mkl) == (threads, threads)
    assert path.split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_an_empty_dir_is_fresh_for_each_pod_and_a_claim_is_shared(make: Make, place: Place) -> None:
    retry = "retryStrategy: {limit: 1}"
    script = "test ! -e /tmp/old && touch /tmp/old && echo x >> /data/ran && test $(wc -l < /data/ran) = 2"
    assert place.run(make(_one(script, retry))).phase == "Succeeded"
    assert list((place.state / "pods").iterdir()) == []


def test_claims_lie_in_the_state_directory_by_default(make: Make, place: Place) -> None:
    place.run(make(_one("echo x > /data/out")), volumes={})
    assert (place.state / "volumes" / "data" / "out").read_text() == "x\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/data", "D"),
        ("/data/run", "D/run"),
        ("--run=/data/run", "--run=D/run"),
        ("file:///data/run", "file://D/run"),
        ("a:/data/b:/data", "a:D/b:D"),
        ("cat </data/a >'/data/b'", "cat <D/a >'D/b'"),
        ("/data/x/deep", "X/deep"),
        ("s3://data/run", "s3://data/run"),
        ("/other/data", "/other/data"),
        ("/database", "/database"),
        ("./data", "./data"),
        ("$HOME/data", "$HOME/data"),
    ],
)
def test_mount_paths_become_directories_where_a_path_begins(text: str, expected: str) -> None:
    assert mapped(text, {"/data": "D", "/data/x": "X"}) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)/$(B)", "1/$(B)"),
        ("$$(A) $$ $$$$", "$(A) $ $$"),
        ("$A $((1 + 1))", "$A $((1 + 1))"),
    ],
)
def test_variables_of_the_container_are_filled_in_as_the_kubelet_does(text: str, expected: str) -> None:
    assert expanded(text, {"A": "1"}) == expected


def test_a_variable_from_a_secret_is_the_callers(make: Make, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = _one("echo $KEY $(KEY) > /data/said")
    secret = "    env: [{name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n"
    monkeypatch.setenv("KEY", "opener")
    place.run(make(spec + secret))
    assert (place.data / "said").read_text() == "opener opener\n"


def test_a_path_given_by_hand_is_one_of_this_machine_unless_its_claim_is_mapped(
    make: Make, place: Place, tmp_path: Path
) -> None:
    workflow = make(
        """
        volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
        arguments: {parameters: [{name: run}]}
        templates:
        - name: main
          container:
            command: [sh, -c, "echo $0 $1 > SAID", "{{workflow.parameters.run}}", /data/written]
            volumeMounts: [{name: data, mountPath: /data}]
        """.replace("SAID", str(tmp_path / "said"))
    )
    place.run(workflow, {"run": "/data/mine"}, volumes={})
    given, written = (tmp_path / "said").read_text().split()
    assert given == "/data/mine"
    assert not written.startswith("/data")
    place.run(workflow, {"run": "/data/mine"}, volumes={"data": tmp_path / "claim"}, fresh=True)
    assert (tmp_path / "said").read_text().split() == [f"{tmp_path}/claim/mine", f"{tmp_path}/claim/written"]


# What the user sees


def test_lines_tell_each_change_and_a_failure_with_its_log(make: Make, place: Place) -> None:
    printed = io.StringIO()
    place.run(make(_one("echo the reason >&2; exit 4")), view=for_console(Console(file=printed, width=200)))
    text = printed.getvalue()
    assert "w.a Running" in text
    assert "exit code 4" in text
    assert "the reason" in text
    assert str(place.state / "logs" / "w.a.log") in text


def test_progress_is_read_from_its_file(make: Make, place: Place) -> None:
    printed = io.StringIO()
    script = "echo 3/7 > $ARGO_PROGRESS_FILE; sleep 0.8"
    result = place.run(make(_one(script)), view=for_console(Console(file=printed, width=200)))
    assert result.nodes["w.a"].progress == "3/7"
    assert "3/7" in printed.getvalue()


def test_the_live_tree_can_be_drawn(make: Make, place: Place) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=120, height=40, force_terminal=True)
    script = "echo 1/2 > $ARGO_PROGRESS_FILE; sleep 0.7; test {{inputs.parameters.i}} != 3"
    arguments = ", withSequence: {count: 9}, arguments: {parameters: [{name: i, value: '{{item}}'}]}"
    workflow = make(_one(script, "inputs: {parameters: [{name: i}]}\nretryStrategy: {limit: 0}", arguments))
    place.run(workflow, view=for_console(console), jobs=9)
    assert "9/9 done" in printed.getvalue()
    assert "exit code 1" in printed.getvalue()


def test_a_run_works_outside_the_main_thread(make: Make, place: Place) -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.append(place.run(make(CHAIN))))
    thread.start()
    thread.join()
    assert results[0].phase == "Succeeded"


def test_locks_that_wait_for_each_other_end_with_a_message(make: Make, place: Place) -> None:
    workflow = make(
        """
        templates:
        - name: main
          synchronization: {mutexes: [{name: m}]}
          dag: {tasks: [{name: a, template: t}]}
        - {name: t, synchronization: {mutexes: [{name: m}]}, container: {command: ['true']}}
        """
    )
    with pytest.raises(WorkflowError, match="locks"):
        place.run(workflow, volumes={})
