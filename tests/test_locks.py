"""The locks: exact versions with hashes of all that is declared, from no registry by name; torch stands alone."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
LOCKS = REPOSITORY / "locks"
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
DECLARED = {
    "runtime": PROJECT["project"]["dependencies"],
    "app": [each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra],
    **PROJECT["dependency-groups"],
}
# Each is installed on top of those before it; the last is an environment of its own.
LAYERS = ["torch-needs", "runtime", "app", "dev", "bench", "nnunet"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


def locked(name: str) -> list[Requirement]:
    """What a lock holds, with markers where versions differ from Python to Python."""
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.sub(r"#.*", "", text).replace("\\\n", "")
    return [Requirement(entry.partition(" --hash")[0]) for entry in entries.splitlines() if entry.strip()]


def _applies(requirement: Requirement, python: str) -> bool:
    there = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    return requirement.marker is None or requirement.marker.evaluate(there)


def _versions(layers: list[str], python: str) -> dict[str, str]:
    """Name to version, as pip installs these locks."""
    versions: dict[str, str] = {}
    for requirement in [each for layer in layers for each in locked(layer) if _applies(each, python)]:
        name = canonicalize_name(requirement.name)
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert versions.setdefault(name, pin.version) == pin.version, f"{name} is locked twice for Python {python}"
    return versions


@pytest.mark.parametrize("name", [*LAYERS, "supply"])
def test_each_version_has_a_hash_and_no_registry_is_named(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    entries = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert entries
    assert all(re.fullmatch(r"[a-z0-9-]+==\S+( ; .*)? \\", entry) for entry in entries)
    hashes = [line for line in text.splitlines() if line.startswith("    --hash=")]
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes)
    assert "://" not in text
    assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", re.sub(r"#.*", "", text))) == {"--hash"}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("group", sorted(DECLARED))
def test_what_is_declared_is_locked_for_each_python(group: str, python: str) -> None:
    versions = _versions(["supply"] if group == "supply" else LAYERS, python)
    for requirement in map(Requirement, DECLARED[group]):
        if requirement.name != "torch":
            version = versions[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: run make lock"


def test_what_is_installed_has_all_that_it_asks_for() -> None:
    """Nothing is installed but the locks' lists: a package left out of them is missing on a new machine."""
    check = [sys.executable, "-m", "pip", "--disable-pip-version-check", "check"]
    found = subprocess.run(check, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


def test_nothing_but_torch_and_its_libraries_comes_without_a_hash() -> None:
    (torch,) = [each for each in locked("torch") if each.name == "torch"]
    assert len(locked("torch")) == 1
    (declared,) = [each for each in map(Requirement, DECLARED["runtime"]) if each.name == "torch"]
    assert declared.specifier.contains(next(iter(torch.specifier)).version)
    for python in PYTHONS:
        assert "torch" not in _versions(LAYERS, python)
        assert not [name for name in _versions(LAYERS, python) if name.startswith(("nvidia-", "cuda-", "triton"))]


def test_torchs_layer_holds_all_that_torch_asks_for_but_its_cuda_libraries() -> None:
    asked = {
        canonicalize_name(Requirement(each).name)
        for each in requires("torch") or []
        if "extra ==" not in each and not re.match(r"nvidia|triton|cuda", each)
    }
    assert asked <= _versions(["torch-needs"], "3.13").keys()


def test_images_and_make_install_from_the_locks_with_hashes() -> None:
    image = (REPOSITORY / "containers/Dockerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip install (.*)", image)
    unlocked = [each for each in installs if "${LOCKED} " not in each]
    assert re.search(r'^ARG LOCKED="--no-deps --require-hashes ', image, re.MULTILINE)
    assert [each for each in unlocked if "/torch.txt" not in each and "--no-deps /wheel/*.whl" not in each] == []


def test_the_images_base_is_one_and_only() -> None:
    image = (REPOSITORY / "containers/Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE=python:[\w.-]+@sha256:[0-9a-f]{64}$", image, re.MULTILINE)
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", image, re.MULTILINE)
    assert {base for base, _ in stages} <= {"${BASE}", *(name for _, name in stages)}


@pytest.mark.parametrize(("folder", "groups"), [("pipeline", ["runtime", "app"]), ("tests", sorted(DECLARED))])
def test_what_is_imported_is_declared(folder: str, groups: list[str]) -> None:
    declared = {canonicalize_name(Requirement(each).name) for group in groups for each in DECLARED[group]}
    files = list((REPOSITORY / folder).rglob("*.py"))
    own = {"pipeline", "tests", *(file.stem for file in files), *(file.parent.name for file in files)}
    known = packages_distributions()
    undeclared = {
        package
        for package in {each for file in files for each in _imported(file)} - own - sys.stdlib_module_names
        # One that is not installed here is a benchmark's: it is declared, or its name is that of what installs it.
        if not declared & {canonicalize_name(name) for name in known.get(package, [package])}
    }
    assert undeclared == set()


def _imported(file: Path) -> set[str]:
    """The packages that a module imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in names}
