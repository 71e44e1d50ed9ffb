"""A workflow runs where Python lacks what only Unix, or only Linux, has. It is left out of a Linux process here, which
shows that nothing asks for it; real machines of that kind are not among those that tests run on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: small}
spec:
  entrypoint: all
  templates:
  - name: all
    dag:
      tasks:
      - {name: a, template: say}
      - {name: b, template: say, depends: a}
  - name: say
    container: {image: any, command: [python, -c, "print('said')"]}
"""
ONLY_UNIX = ("fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog")
"""Modules that Python for Windows does not have (https://docs.python.org/3/library/unix.html)."""
IMPORT_ALL = f"""
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
for name in {ONLY_UNIX}:
    sys.modules[name] = None
import pipeline
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    if not module.name.endswith(("__main__", "webapp.pages.main")):  # a script of streamlit
        importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("pipeline.")]))
"""
LESS = """
import os, signal, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
import warnings
warnings.simplefilter("ignore")  # filelock says that a soft lock is all it has without fcntl
for name in ("sched_getaffinity", "killpg", "pread", "pwrite", "sysconf"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL"):
    delattr(signal, name)
from pipeline.cli.main import main
from pipeline.run.machine import description
assert description()["cores"] >= 1
main()
"""


def test_a_workflow_runs_without_fcntl(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(WORKFLOW)
    words = [sys.executable, "-c", LESS, "run", "small.yaml", "--state", "state", "--argo"]
    for _ in range(2):  # the lock is given back
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "said" in next((tmp_path / "state/logs").glob("small.b*.log")).read_text()


def test_every_module_can_be_imported_without_what_only_unix_has() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200
