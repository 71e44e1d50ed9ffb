"""What stands for a number in a workflow, and what for text: as Kubernetes' reader (sigs.k8s.io/yaml) has it.

The values are those of `helm template` with `toJson (fromYaml ...)`, which is that reader; where helm is installed, it
is asked again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.argo.yamlfile import objects
from pipeline.config.reading import write_yaml
from pipeline.errors import WorkflowError

WORDS: dict[str, int | float | str] = {
    "1.0e4": 10000, "1.5e3": 1500, "1.0E4": 10000, "-.5e3": -500, ".5e3": 500, "1.e3": 1000, "1e3": 1000, "-.5": -0.5,
    "+.5": 0.5, "1.5e-3": 0.0015, "5.": 5, "1e1_0": 1e10, "1_000.5": 1000.5, "1e400": "1e400", "1.2.3": "1.2.3",
    "8:8:40": "8:8:40", "4:30": "4:30", "-1:30": "-1:30", "12:30:45": "12:30:45", "190:20:30.15": "190:20:30.15",
    "08": 8, "0888": 888, "08.5": 8.5, "007": 7, "010": 8, "0o14": 12, "-0o14": -12, "0O14": 12, "0o8": "0o8",
    "0x1F": 31, "0X1f": 31, "0x": "0x", "0x10000000000000000": "0x10000000000000000",
    "0b101": 5, "0B1": 1, "0b2": "0b2", "1_000": 1000,
    "0_8": 8, "_1": "_1", ".5_": ".5_", "1e": "1e", "e3": "e3", "inf": "inf", ".": ".", "=": "=",
    "25921e05": 2592100000, "2001-01-01": "2001-01-01",
}  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_numbers_are_those_of_kubernetes(word: str) -> None:
    (read,) = objects(f"a: {word}", "w.yaml")
    assert read["a"] == WORDS[word]
    assert isinstance(read["a"], str) == isinstance(WORDS[word], str)
    (quoted,) = objects(f"a: '{word}'", "w.yaml")
    assert quoted["a"] == word


@pytest.mark.parametrize("word", ["18446744073709551615", "0xFFFFFFFFFFFFFFFF", "-9223372036854775808"])
def test_whole_numbers_of_64_bits_are_exact(word: str) -> None:
    assert objects(f"a: {word}", "w.yaml") == [{"a": int(word, 0)}]


def test_whole_numbers_beyond_64_bits_are_floats() -> None:
    (read,) = objects("a: 18446744073709551616", "w.yaml")
    assert repr(read["a"]) == "1.8446744073709552e+19"


@pytest.mark.parametrize("word", [".inf", "-.INF", ".nan"])
def test_numbers_that_json_has_not_are_refused_with_their_line(word: str) -> None:
    with pytest.raises(WorkflowError, match=r"w\.yaml:2.*JSON has no such number"):
        objects(f"a: 1\nb: {word}", "w.yaml")


@pytest.mark.skipif(shutil.which("helm") is None, reason="needs the command helm")
def test_helm_reads_the_same(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: words\nversion: 0.1.0\n", encoding="utf-8")
    (tmp_path / "values.yaml").write_text(json.dumps({"words": list(WORDS)}), encoding="utf-8")
    (tmp_path / "templates" / "words.yaml").write_text(
        '{{ range .Values.words }}\n# {{ toJson (fromYaml (printf "a: %s" .)) }}\n{{ end }}\n', encoding="utf-8"
    )
    command = ["helm", "template", str(tmp_path)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    read = [json.loads(line[2:])["a"] for line in printed.splitlines() if line.startswith("# {")]
    assert read == list(WORDS.values())


@pytest.mark.parametrize("text", ["[" * 200 + "]" * 200, "\n".join(f"{' ' * depth}a:" for depth in range(200))])
def test_what_is_nested_too_deep_is_refused(text: str) -> None:
    with pytest.raises(WorkflowError, match=r"^deep\.yaml:\d+: more than 100 "):
        objects(text, "deep.yaml")


def repeated(levels: int, line: str) -> str:
    """Mappings of which each takes in the one before it ten times over."""
    names = [", ".join([f"*m{level - 1}"] * 10) for level in range(1, levels + 1)]
    return "m0: &m0 {a: 1}\n" + "".join(line.format(level=n, names=each) for n, each in enumerate(names, 1))


@pytest.mark.parametrize("line", ["m{level}: &m{level} {{<<: [{names}]}}\n", "m{level}: &m{level} [{names}]\n"])
def test_what_aliases_make_of_a_few_lines_is_bounded(line: str) -> None:
    with pytest.raises(WorkflowError, match=r"^small\.yaml:\d+: more than 1,000,000 values"):
        objects(repeated(8, line), "small.yaml")
    (read,) = objects(repeated(2, line), "small.yaml")
    assert read["m2"] == ({"a": 1} if "<<" in line else [[{"a": 1}] * 10] * 10)


@pytest.mark.parametrize("text", ["a: &a {<<: *a}", "a: &a [1, *a]", "a: &a {b: {<<: [*a]}}"])
def test_an_alias_inside_of_what_it_names_is_refused(text: str) -> None:
    with pytest.raises(WorkflowError, match=r"^itself\.yaml:1: the alias \*a stands inside"):
        objects(text, "itself.yaml")


@given(
    st.sampled_from([*WORDS, "y", "N", "yes", "off", "~", "null", "<<", "=", "-_1", "+_0x_f", "2001-01-01", ".inf"])
    | st.text("0123456789_+-.:xXoObBeEaAfFyYnN~=<", max_size=8)
)
def test_text_of_a_configuration_is_text_to_kubernetes(word: str) -> None:
    (read,) = objects(write_yaml({"a": word, "b": [word]}), "written.yaml")
    assert read == {"a": word, "b": [word]}


def test_what_its_tag_calls_a_truth_value_is_one() -> None:
    with pytest.raises(WorkflowError, match=r"^tagged\.yaml:1: 'maybe' is not true or false"):
        objects("a: !!bool maybe", "tagged.yaml")
