"""A configuration is read strictly: what is wrong is named with its place, and what is right survives a round trip.

Messages are checked for what a user needs (file, line, field, the way out), not for their wording.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Capture, Config, load_config, parse_config, schema_json
from pipeline.errors import ConfigError
from pipeline.examples import example_names, example_text

VALID = {
    "data": {"captures": [{"name": "cortex", "raw": "raw.tif", "labels": "labels.tif", "voxel_size_nm": [10, 5, 5]}]},
    "classes": {
        "members": [
            {"name": "cytosol", "ids": [1], "color": "#112233"},
            {"name": "membrane", "ids": [2, 3], "color": "#445566"},
        ]
    },
}
TEXT = yaml.safe_dump(VALID, sort_keys=False)


def with_change(place: str, value) -> str:
    """The valid configuration with one value changed or added, as YAML."""
    data = copy.deepcopy(VALID)
    *parents, last = place.split(".")
    section = data
    for key in parents:
        section = section[int(key)] if isinstance(section, list) else section.setdefault(key, {})
    if isinstance(section, list):
        section.insert(int(last), value)
    else:
        section[last] = value
    return yaml.safe_dump(data, sort_keys=False)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_config(text, "study.yaml")
    return str(refused.value)


def test_what_is_left_out_has_a_default():
    config = parse_config(TEXT, "study.yaml")
    assert config.classes.names == ("cytosol", "membrane")
    assert config.targets == ("multilabel", "cytosol", "membrane")
    assert config.data.captures[0].voxel_size_nm == (10, 5, 5)


@pytest.mark.parametrize(
    ("place", "near"),
    [
        ("trainig", "training"),
        ("training.step", "steps"),
        ("inference.block_xyz", "block_zyx"),
        ("data.captures.0.voxel_size", "voxel_size_nm"),
        ("classes.members.1.colour", "color"),
        ("augmentation.transforms.blur_probabilty", "blur_probability"),
        ("split.fractions.valid", "validation"),
    ],
)
def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_one(place, near):
    text = with_change(place, 1)
    key = place.split(".")[-1]
    (line,) = [number for number, row in enumerate(text.splitlines(), 1) if row.strip(" -").startswith(f"{key}:")]
    message = refusal(text)
    assert f"study.yaml:{line}: {place}: " in message
    assert repr(near) in message


def test_a_key_near_no_other_is_answered_with_all_that_there_are():
    message = refusal(with_change("split.qqq", 1))
    assert all(key in message for key in ("axis", "fractions", "regions", "guard_voxels"))


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("data.captures.0.voxel_size_nm", [0.01, 0.005, 0.005], "micrometres"),
        ("data.captures.0.voxel_size_nm", [10000, 5000, 5000], "picometres"),
        ("data.captures.0.voxel_size_nm", [5, 5], "voxel_size_nm"),
        ("data.captures.0.name", "My capture", "small letter"),
        ("data.captures.0.labelled_slices", ["7-3"], "ends before"),
        ("data.captures.0.labelled_slices", ["a"], "neither"),
        ("data.captures.1", VALID["data"]["captures"][0], "twice"),
        ("data.captures", [], "data.captures"),
        ("data.captures.0.labels", {"cytosol": "a.tif", "mebrane": "b.tif"}, "mebrane"),
        ("data.captures.0.labels", {"cytosol": "a.tif"}, "membrane"),
        ("classes.members.1.name", "cytosol", "twice"),
        ("classes.members.1.ids", [1], "twice"),
        ("classes.members.1.ids", [], "membrane"),
        ("classes.members.1.ids", [-2], "classes.members.1.ids.0"),
        ("classes.members.1.color", "red", "color"),
        ("classes.members.1.name", "multilabel", "multilabel"),
        ("classes.ignore_ids", [3], "twice"),
        ("classes.members", VALID["classes"]["members"][:1], "exclusive: false"),
        ("split.fractions", {"train": 0.6, "validation": 0.3, "test": 0.3}, "1.2"),
        ("split.regions", [{"part": "train"}, {"part": "test"}], "validation"),
        ("split.regions", [{"part": "training"}], "split.regions.0.part"),
        ("split.axis", "xy", "split.axis"),
        ("split.guard_voxels", [0, -1, 0], "split.guard_voxels.1"),
        ("training.steps", 0, "training.steps"),
        ("training.steps", "many", "training.steps"),
        ("training.patch_zyx", [0, 8, 8], "training.patch_zyx.0"),
        ("training.learning_rate", 2.0, "training.learning_rate"),
        ("training.average_decay", 1.0, "training.average_decay"),
        ("inference.mirror_axes", ["y", "y"], "twice"),
        ("inference.mirror_axes", ["t"], "inference.mirror_axes"),
        ("network.features", [], "network.features"),
        ("augmentation.transforms.blur_probability", 1.5, "blur_probability"),
        ("seed", -1, "seed"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_wrong(place, value, says):
    message = refusal(with_change(place, value))
    assert says in message
    assert message.startswith("study.yaml:")


def test_a_region_of_an_unknown_capture_is_refused_but_a_run_of_slices_is_known_by_its_start():
    regions = [{"part": part, "capture": "cortex_0012"} for part in ("train", "validation", "test")]
    parse_config(with_change("split.regions", regions), "study.yaml")
    regions[1]["capture"] = "cortx"
    message = refusal(with_change("split.regions", regions))
    assert "split.regions.1.capture" in message
    assert "cortex" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [("seed: 1\n" + TEXT + "seed: 2\n", TEXT.count("\n") + 2), (TEXT.replace("raw:", "name: other\n    raw:"), 4)],
    ids=["section", "list"],
)
def test_a_key_that_appears_twice_is_refused(text, line):
    assert refusal(text).startswith(f"study.yaml:{line}:")


def test_all_that_is_wrong_is_told_at_once():
    data = copy.deepcopy(VALID)
    data["sede"], data["training"] = 1, {"steps": 0, "batchsize": 2}
    message = refusal(yaml.safe_dump(data))
    assert all(word in message for word in ("sede", "training.steps", "batch_size"))
    assert len(message.splitlines()) == 3


@pytest.mark.parametrize("text", ["", "- 1", "just text", "a: [", "a: b: c"])
def test_what_is_no_mapping_is_refused(text):
    assert "study.yaml" in refusal(text)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml"):
        load_config(tmp_path / "binary.yaml")


def test_a_file_is_read(tmp_path):
    (tmp_path / "study.yaml").write_text(TEXT, encoding="utf-8")
    assert load_config(tmp_path / "study.yaml") == parse_config(TEXT, "x")


@pytest.mark.parametrize("name", example_names())
def test_every_example_loads_and_survives_a_round_trip(name):
    config = parse_config(example_text(name), name)
    assert parse_config(config.to_yaml(), name) == config


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.floats(1e-8, 1.0),
    exclusive=st.booleans(),
    block=st.tuples(*[st.integers(1, 999)] * 3),
    mirror=st.sets(st.sampled_from("zyx")),
    guard=st.none() | st.tuples(*[st.integers(0, 99)] * 3),
    slices=st.none() | st.lists(st.integers(0, 99) | st.just("3-5"), max_size=3),
)
def test_any_configuration_survives_a_round_trip(seed, rate, exclusive, block, mirror, guard, slices):
    data = copy.deepcopy(VALID)
    data["seed"], data["training"] = seed, {"learning_rate": rate}
    data["classes"]["exclusive"] = exclusive
    data["inference"] = {"block_zyx": block, "mirror_axes": sorted(mirror)}
    data["split"] = {"guard_voxels": guard}
    data["data"]["captures"][0]["labelled_slices"] = slices
    config = Config.model_validate(data)
    assert parse_config(config.to_yaml(), "again") == config
    assert config.to_yaml() == parse_config(config.to_yaml(), "again").to_yaml()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30) | st.tuples(st.integers(0, 30), st.integers(0, 5)), max_size=6))
def test_ranges_of_slices_include_both_ends(items):
    written = [item if isinstance(item, int) else f"{item[0]}-{item[0] + item[1]}" for item in items]
    expected = set()
    for item in items:
        expected |= {item} if isinstance(item, int) else set(range(item[0], item[0] + item[1] + 1))
    capture = Capture(name="c", raw="raw", labelled_slices=tuple(written))
    assert capture.labelled() == sorted(expected)


def test_the_schema_describes_every_field():
    schema = json.loads(schema_json())
    for name, section in schema["$defs"].items():
        assert section["additionalProperties"] is False, name
        for field, described in section["properties"].items():
            assert described.get("description"), f"{name}.{field}"
    assert {"Training", "AugmentationSettings", "SplitRegion"} <= set(schema["$defs"])


def test_the_schema_knows_every_field_that_a_configuration_has():
    def names(value, name):
        if isinstance(value, dict):
            return {name: set(value)} | {k: v for key, child in value.items() for k, v in names(child, key).items()}
        return {}

    schema = json.loads(schema_json())
    known = [set(section["properties"]) for section in (schema, *schema["$defs"].values())]
    for name, fields in names(parse_config(TEXT, "study.yaml").model_dump(mode="json"), "config").items():
        assert fields in known, name


def test_no_section_can_be_changed_after_it_is_read():
    config = parse_config(TEXT, "study.yaml")
    for section in (config, config.training, config.augmentation.transforms):
        with pytest.raises((ValueError, AttributeError)):
            section.seed = 1


def test_importing_the_configuration_does_not_import_torch():
    code = "import sys, pipeline.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], check=False).returncode == 0
