"""A configuration is read strictly: what is wrong is named with its place, and what is right survives a round trip.

Messages are checked for what a user needs (file, line, field, the way out), not for their wording.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.examples import example_names, example_text
from pipeline.config.model import (
    SCHEMA_LINE,
    Augmentation,
    Capture,
    Config,
    Split,
    Training,
    Zssr,
    load_config,
    parse_config,
    schema_json,
)
from pipeline.config.reference import markdown
from pipeline.config.settings import settings_of
from pipeline.errors import ConfigError
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.unet_training import TrainingSettings
from pipeline.nn.zssr.superresolution import ZssrSettings
from pipeline.volume.split import PART_IDS, Fractions, Region, SplitSettings

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
    assert (config.targets, config.boost_methods) == (("multilabel",), ())
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


def test_a_key_that_has_to_be_there_is_called_missing_and_told_where_to_see_it():
    message = refusal("data:\n  captures:\n  - name: cortex\n")
    assert "study.yaml:1: classes: is missing" in message
    assert "study.yaml:3: data.captures.0.raw: is missing" in message
    assert message.count("`vemseg config example`") == 2


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


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("augmentation.transforms.scale_probability", 2),
        ("augmentation.transforms.scale_range", [1.2, 0.8]),
        ("boosting.zssr.gradual_factors", [3.0]),
        ("training.devices", 3),
        ("data.captures.0.labels", {"cytosol": "a.tif"}),
    ],
)
def test_what_a_component_or_two_sections_refuse_is_named_by_its_key_and_line(place, value):
    text = with_change(place, value)
    key = place.split(".")[-1]
    line = next(number for number, row in enumerate(text.splitlines(), 1) if row.strip().startswith(f"{key}:"))
    assert refusal(text).startswith(f"study.yaml:{line}: {place}: ")


@pytest.mark.parametrize(
    ("owner", "section"),
    [
        (AugmentationSettings, Augmentation().transforms),
        (TrainingSettings, Training()),
        (ZssrSettings, Zssr()),
        (SplitSettings, Split()),
    ],
)
def test_a_component_gets_its_settings_from_its_section_and_has_the_same_defaults(owner, section):
    assert settings_of(owner, section) == owner()


def test_a_component_gets_what_the_user_set():
    text = with_change(
        "split", {"axis": "x", "regions": [{"part": p, "z": [i, i + 1]} for i, p in enumerate(PART_IDS)]}
    )
    split = settings_of(SplitSettings, parse_config(text, "study.yaml").split)
    assert (split.axis, split.fractions) == ("x", Fractions())
    assert split.regions == tuple(Region(part, z=(index, index + 1)) for index, part in enumerate(PART_IDS))
    zssr = parse_config(with_change("boosting.zssr", {"features": 5, "noise": 0.25}), "study.yaml").boosting.zssr
    assert settings_of(ZssrSettings, zssr, patience=7) == ZssrSettings(features=5, noise=0.25, patience=7)


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


@pytest.mark.parametrize("key", ["[a, b]", "{a: b}", "[]"])
def test_a_key_that_is_no_name_is_refused(key):
    assert refusal(f"? {key}\n: 1\n{TEXT}").startswith("study.yaml:1:")


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


@pytest.mark.parametrize(
    "word", ["25921e05", "1e6", "1.5e3", ".5e3", "08", "0o14", "0O14", "0x1F", "12", "4:30", "1_0e2", "y", "N", "off"]
)
def test_text_that_any_yaml_reader_takes_for_a_number_is_quoted(word):
    # PyYAML issue 860: those with an exponent, and 08 and 0o14, it leaves bare; YAML 1.2 and Go read numbers.
    data = copy.deepcopy(VALID) | {"training": {"learning_rate": 1e-5, "steps": 1200}}
    data["data"]["captures"][0]["raw"] = word
    config = Config.model_validate(data)
    lines = config.to_yaml().splitlines()
    assert f"    raw: '{word}'" in [line.replace("  - ", "    ") for line in lines]
    assert {"  learning_rate: 1.0e-05", "  steps: 1200"} <= set(lines)
    assert parse_config(config.to_yaml(), "again") == config


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
    assert {"Training", "Transforms", "SplitRegion"} <= set(schema["$defs"])


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
    code = "import sys, pipeline.config.model; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0


# Limits ------------------------------------------------------------------------------------------------------------


def bomb(levels: int, width: int) -> str:
    """Lists of aliases of lists: ``width`` to the power of ``levels`` values in a few lines."""
    lines = ["l0: &l0 [1]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * width)}]" for n in range(1, levels + 1)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (TEXT + f"training: {{steps: 1{'0' * 400}}}\n", len(TEXT.splitlines()) + 1, "401 characters"),
        (TEXT + f"seed: -0x{'f' * 30}\n", len(TEXT.splitlines()) + 1, "33 characters"),
        (TEXT + f"seed: 1{'_000' * 2000}\n", len(TEXT.splitlines()) + 1, "8001 characters"),
        (bomb(5, 8), 6, "aliases repeat"),
        ("a: &a [1, *a]\n", 1, r"\*a stands inside"),
        ("a:\n  &a {b: {c: *a}}\n", 2, r"\*a stands inside"),
        ("[" * 60, 1, "inside each other"),
        ("\n".join("  " * depth + "a:" for depth in range(60)), 21, "inside each other"),
    ],
    ids=["number", "hexadecimal", "underscores", "bomb", "itself", "itself-deep", "lists", "mappings"],
)
def test_a_text_that_a_reader_would_work_at_without_end_is_refused_at_its_line(text, line, says):
    with pytest.raises(ConfigError, match=rf"^study\.yaml:{line}: .*{says}"):
        parse_config(text, "study.yaml")


def test_a_text_that_is_no_configuration_by_its_size_is_refused():
    with pytest.raises(ConfigError, match="1 MiB"):
        parse_config("# " + "x" * 2**20, "study.yaml")


@pytest.mark.parametrize(
    "place", ["training.steps", "split.guard_voxels", "inference.shard_zyx", "evaluation.figure_slices"]
)
def test_a_number_that_no_array_has_is_refused_by_its_key(place):
    value = 2**31 if place == "training.steps" else [1, 2**31, 1]
    assert f": {place}" in refusal(with_change(place, value))
    assert "2147483648" in refusal(with_change(place, value))


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1.0e400"])
@pytest.mark.parametrize(
    "place", ["training.weight_decay", "inference.memory_gb", "augmentation.transforms.tilt_degrees"]
)
def test_a_number_that_is_not_finite_is_refused_by_its_key(place, value):
    text = with_change(place, "VALUE").replace("VALUE", value)
    assert f": {place}: " in refusal(text)


def test_slices_are_counted_to_a_million():
    assert "1000000" in refusal(with_change("data.captures.0.labelled_slices", ["5-1000000"]))
    parse_config(with_change("data.captures.0.labelled_slices", ["5-999999"]), "study.yaml")


def test_aliases_that_spare_writing_are_read():
    text = (
        TEXT + "network: &n {features: &f [4, 8]}\ntraining: {patch_zyx: &s [2, 32, 32]}\ninference: {block_zyx: *s}\n"
    )
    config = parse_config(text, "study.yaml")
    assert config.inference.block_zyx == config.training.patch_zyx == (2, 32, 32)
    long_name = "20201231_" * 4
    assert parse_config(with_change("data.captures.0.raw", long_name), "s").data.captures[0].raw == long_name


TWO = """
data: {captures: [{name: a, raw: raw.tif, labels: labels.tif}]}
classes: {members: [{name: %s}, {name: %s}]}
training: {targets: all}
"""


@pytest.mark.parametrize(
    ("names", "worth"), [(("background", "mito"), "mito"), (("mito", "rest"), "mito"), (("cell", "resin"), "cell")]
)
def test_of_two_classes_the_background_gets_no_network_that_mirrors_the_other(
    names: tuple[str, str], worth: str
) -> None:
    config = parse_config(TWO % names, "study.yaml")
    assert config.targets == ("multilabel", worth)
    binary = parse_config((TWO % names).replace("all", "binary"), "study.yaml")
    assert binary.targets == (worth,)


def test_colours_and_ids_have_defaults() -> None:
    config = parse_config(TWO % ("background", "mito"), "study.yaml")
    assert [(member.ids, member.color) for member in config.classes.members] == [((1,), "#555555"), ((2,), "#009e73")]
    assert parse_config(config.to_yaml(), "study.yaml") == config
    masks = parse_config((TWO % ("a", "b")).replace("labels.tif", "{a: a.tif, b: b.tif}"), "study.yaml")
    assert [member.ids for member in masks.classes.members] == [(), ()]
    with pytest.raises(ConfigError, match="no ids for b"):
        parse_config((TWO % ("a, ids: [3]", "b")), "study.yaml")


def test_boosting_is_asked_for_by_its_section() -> None:
    assert parse_config(TEXT, "study.yaml").boost_methods == ()
    assert "zssr" in parse_config(TEXT + "boosting: {factor: 2}\n", "study.yaml").boost_methods


def test_the_schema_says_what_it_is_and_describes_every_field() -> None:
    schema = json.loads(schema_json())
    assert urlsplit(schema["$id"]).scheme == "urn", "no address that nobody serves"
    for example in example_names():
        assert example_text(example).splitlines()[0] == SCHEMA_LINE
    sections = {"Config": schema, **schema["$defs"]}
    lacking = [
        f"{section}.{name}"
        for section, content in sections.items()
        for name, field in content.get("properties", {}).items()
        if "description" not in field and "$ref" not in field and "allOf" not in field
    ]
    assert lacking == []


def test_the_reference_is_that_of_the_fields() -> None:
    """After a change: vemseg config reference > docs/configuration.md."""
    written = (Path(__file__).parents[2] / "docs/configuration.md").read_text(encoding="utf-8")
    assert written == markdown()
    assert "`steps`" in written


WITH_OBJECTS = """\
data:
  captures:
    - {name: one, raw: raw.tif, labels: LABELS}
classes:
  CLASSES
  members:
    - {name: mitochondria, instances: true, rim_nm: 15}
    - {name: rest, fill: true}
TRAINING
"""


def with_objects(labels: str, classes: str = "exclusive: true", training: str = "") -> str:
    return WITH_OBJECTS.replace("LABELS", labels).replace("CLASSES", classes).replace("TRAINING", training)


@pytest.mark.parametrize(
    ("given", "mask"),
    [("{mask: mito.tif, objects: ids.tif}", "mito.tif"), ("{objects: ids.tif}", "ids.tif")],
)
def test_a_mask_may_come_with_ids_of_its_objects(given, mask):
    config = parse_config(with_objects(f"{{mitochondria: {given}}}"), "study.yaml")
    (capture,) = config.data.captures
    assert capture.labels == {"mitochondria": mask}
    assert capture.objects == {"mitochondria": "ids.tif"}
    assert parse_config(config.to_yaml(), "again") == config
    assert config.classes.cores == {1: 3}
    assert config.classes.sample_ids == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (with_objects("{mitochondria: {mask: a.tif}}"), "study.yaml:3: .*write a location, or"),
        (with_objects("{mitochondria: m.tif}, objects: {rest: ids.tif}"), "'rest', which is no class with instances"),
        (with_objects("{mitochondria: m.tif}", "exclusive: false"), "mitochondria cannot be told apart"),
        (
            with_objects("{mitochondria: m.tif}", training="training: {targets: binary}"),
            "study.yaml:9: training.targets: only the multilabel network",
        ),
    ],
)
def test_objects_that_cannot_be_told_apart_are_refused(text, says):
    assert re.search(says, refusal(text))


def test_without_objects_a_configuration_says_nothing_of_them():
    """The text of a run's configuration, and all digests of its classes, are those of before there were any."""
    text = with_objects("{mitochondria: m.tif}").replace(", instances: true, rim_nm: 15", "")
    written = parse_config(text, "study.yaml").to_yaml()
    assert not {"instances", "rim_nm", "objects", "reach_nm"} & set(re.findall(r"\w+", written))
