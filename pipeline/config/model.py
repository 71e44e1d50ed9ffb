"""The run's configuration: one strict, typed YAML file.

Every field is documented where it is declared; ``vemseg config schema`` and the reference page are made from here.
Sizes carry their unit in the name, triples are z, y, x, and an unknown key is an error. What the fields of two sections
make impossible together is found at load, before any work is spent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from pipeline.config.colors import class_color, is_background
from pipeline.config.errors import explain
from pipeline.config.reading import read_yaml, write_yaml
from pipeline.config.settings import Section, section_of
from pipeline.errors import ConfigError, SettingError
from pipeline.nn.augment.settings import AugmentationSettings
from pipeline.nn.zssr.methods import METHODS
from pipeline.volume.labels import MAX_OVERLAPPING
from pipeline.volume.split import Part
from pipeline.volume.treatments import Treatment

MULTILABEL = "multilabel"
MERGED = "merged"
"""What all networks say together."""
SCHEMA_ID = "urn:vemseg:study"
SCHEMA_LINE = "# yaml-language-server: $schema=study.schema.json"
"""For editors that find the schema beside the file: `vemseg config schema > study.schema.json`."""
"""What editors find the schema by, in the first line of a configuration."""

# Finer than any electron microscope resolves, and coarser than any synapse: outside, a unit was mistaken.
PLAUSIBLE_VOXEL_NM = (0.1, 2000.0)


def voxel_edge(value_nm: float) -> float:
    """An edge of a voxel, in nanometres. Raises ValueError for one that no electron microscope has."""
    low, high = PLAUSIBLE_VOXEL_NM
    if low <= value_nm <= high:
        return value_nm
    hint = "a value in micrometres?" if value_nm < low else "a value in picometres or ångström?"
    raise ValueError(f"{value_nm:g} nm is no voxel edge of electron microscopy ({hint}); give nanometres")


def _slug(value: str) -> str:
    if re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value):
        return value
    raise ValueError(
        f"{value!r} is also a folder's and a pod's name: use a small letter, then small letters, digits and '_'"
    )


VoxelEdgeNm = Annotated[float, AfterValidator(voxel_edge)]
Name = Annotated[str, AfterValidator(_slug)]
VoxelSizeNm = tuple[VoxelEdgeNm, VoxelEdgeNm, VoxelEdgeNm]
LAST_SLICE = 10**6 - 1
"""No stack has more; a range is written out as numbers."""
# What signed numbers of 32 bits hold: array libraries count the sides of arrays by them in places.
Size = Annotated[int, Field(ge=1, lt=2**31)]
Edge = Annotated[int, Field(gt=-(2**31), lt=2**31)]
SliceNumber = Annotated[int, Field(ge=0, lt=2**31)]
SizeZyx = tuple[Size, Size, Size]
Breadth = Annotated[int, Field(ge=0, lt=2**31)]
LabelId = Annotated[int, Field(ge=0, lt=2**64)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
# Strict, because pydantic reads the text "0-1" as the number -1.
SliceRange = Annotated[int, Field(strict=True)] | str


# With ids of objects beside the mask, which the capture's `objects` takes.
Mask = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {"mask": {"type": "string"}, "objects": {"type": "string"}},
                    "required": ["objects"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


class Capture(Section):
    """A stack with its labels."""

    name: Name
    """Name of the capture within the run."""
    raw: str
    """Folder of PNG/TIFF slices, TIFF, MRC, `file.h5:/dataset`, Zarr or OME-Zarr, NumPy, or a zip of one of them. A
    relative path is looked for beside the configuration file."""
    labels: str | dict[Name, Mask] | None = None
    """One volume of class ids, or a mask for each class (class name: location, or `{mask: location, objects: location}`
    with ids of its objects; without mask, they are it). Only a volume that a trained model is to segment can do
    without."""
    objects: dict[Name, str] | None = None
    """Volumes with an id for each object of a class whose objects are told apart (class name: location), up to 64 bits;
    0 is none. Left out: pieces of the class that hang together are its objects."""
    voxel_size_nm: VoxelSizeNm | None = None
    """Edge lengths of a voxel; may be left out where the file states them."""
    labelled_classes: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Classes that its labels name; left out: all. What they say is none of these may be any of the others: the ids of
    the others' and 0 (unless ignored), or no mask. It is trained on as such, and no other class is scored there."""
    labelled_slices: tuple[SliceRange, ...] | None = None
    """Slices that carry labels, from 0, as numbers or ranges with both ends: `[3, 7, "10-14"]`. Default: all."""
    runs_as_captures: bool = False
    """Make each unbroken run of labelled slices a capture of its own."""

    def labelled(self) -> list[int] | None:
        """The labelled slices as sorted numbers, or None for all."""
        if self.labelled_slices is None:
            return None
        return sorted({number for item in self.labelled_slices for number in _slice_range(item)})

    @model_validator(mode="before")
    @classmethod
    def _objects_beside_masks(cls, data: Any) -> Any:
        """Of `{mask: ..., objects: ...}` the mask stays among the labels."""
        labels = data.get("labels") if isinstance(data, dict) else None
        if not isinstance(labels, dict):
            return data
        masks, objects = dict(labels), dict(data.get("objects") or {})
        for name, given in labels.items():
            if not isinstance(given, dict):
                continue
            if not given.keys() <= {"mask", "objects"} or not isinstance(given.get("objects"), str):
                raise SettingError(f"labels.{name}", "write a location, or {mask: location, objects: location}")
            if objects.setdefault(name, given["objects"]) != given["objects"]:
                raise SettingError(f"labels.{name}", "its objects are given here and in the capture's objects")
            masks[name] = given.get("mask", given["objects"])
        return {**data, "labels": masks, **({"objects": objects} if objects else {})}

    @field_validator("labelled_classes")
    @classmethod
    def _classes_differ(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        _refuse_doubles("class", value or ())
        return value

    @model_validator(mode="after")
    def _runs_are_known(self) -> Self:
        if self.runs_as_captures and self.labelled_slices is None:
            raise ValueError("runs_as_captures needs labelled_slices, which say where the runs are")
        return self

    @field_validator("labelled_slices")
    @classmethod
    def _ranges_are_readable(cls, value: tuple[int | str, ...] | None) -> tuple[int | str, ...] | None:
        for item in value or ():
            _slice_range(item)
        return value


def _slice_range(item: int | str) -> Iterable[int]:
    match = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", str(item))
    if not match:
        raise ValueError(f"{item!r} is neither a slice number nor a range such as '10-14'")
    first, last = int(match[1]), int(match[2] or match[1])
    if last > LAST_SLICE:
        raise ValueError(f"slice {last} is none: slices are counted up to {LAST_SLICE}")
    if last < first:
        raise ValueError(f"the range {item!r} ends before it starts")
    return range(first, last + 1)


class Data(Section):
    """The labelled captures."""

    captures: Annotated[tuple[Capture, ...], Field(min_length=1)]
    """One or several; their voxel sizes must agree."""
    intensity: Treatment | None = None
    """Grey values of several captures beside those of the first: as_trained (as they are), match (quantiles are laid on
    its quantiles, inverted contrast is turned round) or percentile (stretched between its outermost half percents).
    Left out: as they are, and refused where they are far from it."""

    @field_validator("captures")
    @classmethod
    def _names_differ(cls, value: tuple[Capture, ...]) -> tuple[Capture, ...]:
        _refuse_doubles("capture", (capture.name for capture in value))
        return value


class ClassSettings(Section):
    """A class to segment."""

    name: Name
    """Name in tables, figures and file names."""
    ids: tuple[LabelId, ...] = ()
    """Values in the label volume that mean this class; several are merged. Where no class lists any, the first class is
    1, the second 2 and so on. Not used where labels are masks."""
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
    """Colour in figures and viewers; left out: one that is safe for colour-blind eyes, and grey for a background."""
    fill: bool = False
    """Where labels are masks of exclusive classes: this class takes every voxel that no mask covers."""
    instances: bool = False
    """Tell the objects of this class apart, such as mitochondria that touch. It needs exclusive classes and the
    multilabel network."""
    rim_nm: Annotated[float, Field(gt=0.0)] = 20.0
    """Where objects are told apart: how far the core of an object, which the network learns to find, lies within its
    surface. Narrow parts of an object have a narrower rim."""

    @model_serializer(mode="wrap")
    def _unsaid_stays_unsaid(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without objects nothing is said of them: configurations and results are those of before there were any."""
        said: dict[str, Any] = handler(self)
        return said if self.instances else {key: said[key] for key in said if key not in ("instances", "rim_nm")}


class Classes(Section):
    """What is to be told apart."""

    exclusive: bool = True
    """True: a voxel belongs to one class (softmax). False: to any number of them (sigmoid)."""
    ignore_ids: tuple[LabelId, ...] = ()
    """Values in the label volume of unlabelled voxels: neither trained on nor scored."""
    members: Annotated[tuple[ClassSettings, ...], Field(min_length=1, max_length=MAX_OVERLAPPING)]
    """The classes, in the order of tables; the first gets id 1 in the volumes that are written."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in order."""
        return tuple(member.name for member in self.members)

    def unlabelled(self, capture: Capture) -> tuple[int, ...]:
        """The ids of the classes that a capture's labels do not name."""
        named = capture.labelled_classes
        return () if named is None else tuple(n for n, name in enumerate(self.names, 1) if name not in named)

    def untold(self, capture: Capture) -> tuple[int, ...]:
        """Of these, those that they do not tell from others: a single one of exclusive classes is all that is left."""
        unlabelled = self.unlabelled(capture)
        return () if self.exclusive and len(unlabelled) == 1 else unlabelled

    @property
    def instances(self) -> dict[int, ClassSettings]:
        """The classes whose objects are told apart, by their ids."""
        return {number: member for number, member in enumerate(self.members, 1) if member.instances}

    @property
    def cores(self) -> dict[int, int]:
        """Of the same, the ids of the cores of objects in training samples, which follow those of the classes."""
        return {class_id: len(self.members) + number for number, class_id in enumerate(self.instances, 1)}

    @property
    def sample_ids(self) -> int:
        """How many ids training samples hold of what is surely of a class: those of the classes, and those of cores."""
        return len(self.members) + len(self.cores)

    @property
    def worth_a_network(self) -> tuple[str, ...]:
        """The classes whose one-vs-rest networks ask different questions."""
        if not self.exclusive or len(self.members) != 2:
            return self.names
        first, second = self.members
        return (first.name,) if second.fill or is_background(second.name) else (second.name,)

    @field_validator("members", mode="before")
    @classmethod
    def _colors_are_given(cls, members: Any) -> Any:
        if not isinstance(members, list):
            return members
        names = [member.get("name") if isinstance(member, dict) else None for member in members]
        behind = bool(names and isinstance(names[0], str) and is_background(names[0]))
        return [
            {**member, "color": class_color(str(name), index - behind)}
            if isinstance(member, dict) and "color" not in member
            else member
            for index, (member, name) in enumerate(zip(members, names, strict=True))
        ]

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        _refuse_doubles("class", self.names)
        if MULTILABEL in self.names:
            raise ValueError(f"a class cannot be called {MULTILABEL!r}: that is the name of the joint network")
        if MERGED in self.names:
            raise ValueError(f"a class cannot be called {MERGED!r}: that is what all networks say together")
        if self.exclusive and len(self.members) < 2:
            raise ValueError("one exclusive class leaves nothing to tell apart: add a class or set exclusive: false")
        _refuse_doubles("label id", [*(id_ for member in self.members for id_ in member.ids), *self.ignore_ids])
        if sum(member.fill for member in self.members) > 1:
            raise ValueError("only one class can be the fill class")
        if self.instances and not self.exclusive:
            names = ", ".join(member.name for member in self.instances.values())
            raise ValueError(
                f"objects of {names} cannot be told apart where classes overlap: set exclusive: true, or leave "
                "instances out"
            )
        return self


class SplitRegion(Section):
    """A box of a capture that goes to one part. Ranges are voxels from 0, end excluded; left out: all of the axis."""

    part: Part
    """train, validation or test."""
    capture: Name | None = None
    """Name of the capture; left out: every capture."""
    z: tuple[Edge, Edge] | None = None
    """Slices."""
    y: tuple[Edge, Edge] | None = None
    """Rows."""
    x: tuple[Edge, Edge] | None = None
    """Columns."""


class Fractions(Section):
    """How much of each capture goes to each part, guard bands aside."""

    train: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.6
    """Share of the voxels to train on."""
    validation: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share to choose the best model on."""
    test: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.25
    """Share to score on."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"train, validation and test add up to {total:g}; they must add up to 1")
        return self


class Split(Section):
    """Train, validation and test are regions with guard bands between, so that no test voxel is seen in training."""

    axis: Literal["auto", "z", "y", "x"] = "auto"
    """Axis along which each capture is cut; auto: of those with room for all parts, the one that loses the smallest
    share of its voxels to guard bands."""
    fractions: Fractions = Fractions()
    """Shares of the parts along the axis."""
    regions: tuple[SplitRegion, ...] = ()
    """Boxes instead of fractions. Where boxes come closer than the guard, train gives way, then validation."""
    guard_voxels: tuple[Breadth, Breadth, Breadth] | None = None
    """Width of the guard bands; left out: the receptive field of the network, and never less than it."""


class Transforms(section_of(AugmentationSettings)):  # type: ignore[misc]
    __doc__ = AugmentationSettings.__doc__


class Augmentation(Section):
    """Random changes of training samples."""

    source: Literal["pool", "on_the_fly"] = "pool"
    """pool: the augment step writes samples that all targets share; on_the_fly: each training makes its own."""
    pool_samples: Size = 256
    """Samples in the pool."""
    transforms: Transforms = Transforms()
    """What may happen to a sample, and how often."""


class Network(Section):
    """The 3D U-Net; kernels and pooling are planned from the voxel size."""

    features: Annotated[tuple[Size, ...], Field(min_length=1, max_length=7)] = (16, 32, 64, 96)
    """Channels of each level, fine to coarse; their number is the number of levels."""
    convolutions_per_level: Annotated[int, Field(ge=1, le=4)] = 2
    """Convolutions in each encoder and decoder block."""
    z_context_slices: SliceNumber | None = None
    """Slices the network may see to each side of a voxel's own; left out: what the levels ask for; 0: none."""
    deep_supervision: bool = False
    """Train the coarser decoder levels on labels too."""


class Training(Section):
    """How each network is trained."""

    patch_zyx: SizeZyx = (16, 128, 128)
    """Voxels of a training sample; an axis shorter than this in the data is used whole."""
    batch_size: Size = 2
    """Samples a step."""
    devices: Annotated[int, Field(ge=1, le=16)] = 1
    """GPUs of a machine that share each batch of a training; the pods of trainings ask for as many. Without GPUs:
    processes."""
    steps: Size = 2000
    """Steps of the multilabel network."""
    binary_steps: Size | None = None
    """Steps of each one-vs-rest network; left out: as the multilabel one."""
    start_from: str | None = None
    """Learn on: a run, or `models/<target>` of one, whose weights the networks begin with; a relative path is looked
    for beside the configuration file. Classes are matched by name, and new ones begin anew; voxel size and network must
    be those of the model."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 2e-3
    """Peak learning rate of AdamW; warm-up before it, cosine decay after it."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 1e-2
    """Decoupled weight decay."""
    warmup_fraction: Fraction = 0.05
    """Share of the steps over which the learning rate rises."""
    dice_weight: Annotated[float, Field(ge=0.0)] = 0.5
    """Weight of the Dice loss beside cross-entropy."""
    average_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.99
    """Decay of the running average of weights that is validated and kept; 0: the raw weights."""
    validations: Size = 8
    """How often, evenly over the training, the model is validated."""
    calibrate: bool = True
    """Shift the logits by as much of how frequent each class is as surely serves macro F1 on the validation part;
    false: rare classes are said too often."""
    checkpoint_minutes: Annotated[float, Field(gt=0.0)] = 5.0
    """Largest time between checkpoints."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the hardware computes it natively, else float32."""
    compile: Literal["auto", "always", "never"] = "auto"
    """torch.compile; auto: on CUDA."""
    targets: Literal["all", "multilabel", "binary"] = "multilabel"
    """Which networks are trained: the multilabel one, the one-vs-rest ones, or all. Of two exclusive classes the
    background gets none: it would only mirror that of the other."""

    @model_validator(mode="after")
    def _batches_can_be_shared(self) -> Self:
        if self.batch_size % self.devices:
            raise SettingError(
                "devices",
                f"{self.devices} cannot share a batch of {self.batch_size} evenly; make batch_size a multiple",
            )
        return self


class Inference(Section):
    """How volumes are predicted; the result does not depend on block, shard or number of workers."""

    region: Literal["test", "all"] = "test"
    """What a study predicts: the test part of each capture, or all of it."""
    block_zyx: SizeZyx = (32, 512, 512)
    """Voxels predicted in one sweep along the longest side; the halo comes on top. The larger, the less is computed
    twice; only the two shorter sides cost memory."""
    shard_zyx: SizeZyx = (32, 512, 512)
    """Voxels of a stored file, the unit of work of a worker."""
    mirror_axes: tuple[Literal["z", "y", "x"], ...] = ()
    """Average the logits over mirrored copies along these axes (test-time augmentation): 2, 4 or 8 times the work."""
    probabilities: bool = False
    """Store class probabilities (uint8, 255 = certain) too; they are calibrated: of the voxels with 128 about half are
    of the class."""
    merged: bool = False
    """Merge what all networks say into one segmentation, by weights found on the validation part; needs `targets: all`.
    Probabilities are stored for it."""
    doubt: bool = False
    """Store how likely the merged segmentation is wrong in each voxel too (uint8, 255 = surely)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is faster where the hardware has it; float32 is exact to rounding whatever the block."""
    workers: Size = 2
    """Pods a target; never more than there are shards."""
    memory_gb: Annotated[float, Field(gt=0.0)] = 4.0
    """Memory that a worker may use; a block that needs more is refused before any work."""
    reach_nm: Annotated[float, Field(gt=0.0)] | None = None
    """Where objects are told apart: how far, inside its class, a voxel may lie from the core of its object; left out:
    150 nm."""

    @property
    def stores_probabilities(self) -> bool:
        """Whether they are asked for, or needed."""
        return self.probabilities or self.merged

    @field_validator("mirror_axes")
    @classmethod
    def _axes_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _refuse_doubles("axis", value)
        return value


def _kernel(value: str) -> str:
    """The text of a kernel: a name, a Gaussian, or a file whose content is looked at when it is read."""
    if value in ("area", "bicubic") or re.search(r"\.(npy|mat)(:/.+)?$", value, re.IGNORECASE):
        return value
    match = re.fullmatch(r"gaussian:(\d+(?:\.\d+)?)", value)
    if match and float(match[1]) > 0:
        return value
    raise ValueError(
        f"{value!r} is no kernel: write area, bicubic, gaussian:SIGMA (native pixels), or a .npy or .mat file"
    )


def _learnt_kernel(value: str) -> str:
    return value if value in ("known", "estimated") else _kernel(value)


def _method(value: str) -> str:
    if value in METHODS:
        return value
    raise ValueError(f"{value!r} is no way to boost; there are {', '.join(METHODS)}")


KernelText = Annotated[str, AfterValidator(_kernel)]
LearntKernelText = Annotated[str, AfterValidator(_learnt_kernel)]
MethodName = Annotated[str, AfterValidator(_method), WithJsonSchema({"enum": list(METHODS), "type": "string"})]
Enlargement = Annotated[float, Field(gt=1.0, le=8.0)]


class Zssr(Section):
    """Zero-shot super-resolution: how a network learns from the slices that it is to boost."""

    mode: Literal["stack", "slice"] = "stack"
    """stack: one network, taught by slices from everywhere, so that neighbouring slices do not flicker; slice: one
    network for each slice, as published, which takes longer the more slices there are."""
    kernel: LearntKernelText = "known"
    """How the coarse slices came about: known (the kernel they were downsampled with; bicubic for a volume that was not
    downsampled), estimated from the slices, area, bicubic, gaussian:SIGMA (fine pixels), or a .npy or .mat file."""
    features: Size = 64
    """Channels of the hidden layers."""
    layers: Annotated[int, Field(ge=2, le=32)] = 8
    """Convolutions of 3 x 3."""
    fold: Annotated[int, Field(ge=1, le=4)] = 1
    """Edge of the squares of pixels that the network takes as one: 2 is a quarter of the work, and less exact."""
    most_steps: Size = 2000
    """Steps after which a training ends at the latest; before that it ends when it learns nothing more."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3
    """Learning rate at the start; it falls on each plateau of the reconstruction error."""
    lowest_learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-5
    """The training ends when the learning rate has fallen below this."""
    patch: Annotated[int, Field(ge=16)] = 64
    """Edge of the square crops to learn from, in pixels of the coarse slices."""
    batch_size: Size = 4
    """Crops a step."""
    pool_megapixels: Annotated[float, Field(gt=0.0)] = 4.0
    """How much of the stack is held in memory to learn from, in tiles from everywhere in it."""
    shrinkings: tuple[Enlargement, ...] = (1.1, 1.25, 1.4, 1.6, 1.8, 2.0)
    """The slices are learnt from as they are, and made smaller by these factors."""
    gradual_factors: tuple[Enlargement, ...] = ()
    """Factors below the whole one, rising: what a network reaches at one of them is learnt from at the next."""
    noise: Annotated[float, Field(ge=0.0, le=1.0)] | Literal["auto"] = "auto"
    """Noise added to what the network sees in training, as a share of the range of grey values; auto: as much as the
    slices lose by being made coarser, so that it learns from what is as noisy as they are."""
    self_ensemble: bool = True
    """Average over the eight flips and quarter turns: better, and eight times the work."""
    back_projections: Annotated[int, Field(ge=0, le=50)] = 8
    """How often the result is corrected so that it agrees with the coarse slices; not at all where a held-out part of
    them shows that this puts back more noise than detail."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of the application; training takes bfloat16 where the hardware computes it natively."""

    @field_validator("gradual_factors")
    @classmethod
    def _factors_rise(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError(f"{list(value)} must rise from one factor to the next")
        return value


class Boosting(Section):
    """What becomes of the segmentation when the test part is recorded coarser in x and y, and boosted again."""

    methods: tuple[MethodName, ...] = ("bilinear", "bicubic", "zssr")
    """Ways to boost; none: the study goes without this part. It needs the multilabel network."""
    factor: Enlargement = 2.0
    """Native pixels a coarse pixel, in x and y alike; whole or a fraction."""
    kernel: KernelText = "area"
    """How the test part is made coarse: area, bicubic (antialiased), gaussian:SIGMA (native pixels), or a .npy or .mat
    file with a matrix."""
    zssr: Zssr = Zssr()
    """Zero-shot super-resolution."""
    workers: Size = 1
    """Pods a method."""
    comparison_block_zyx: SizeZyx = (1, 128, 128)
    """Voxels of the blocks of the test part that the intervals of the comparison are drawn over."""

    @field_validator("methods")
    @classmethod
    def _methods_differ(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _refuse_doubles("method", value)
        return value

    @model_validator(mode="after")
    def _gradual_factors_lead_up(self) -> Self:
        if any(factor >= self.factor for factor in self.zssr.gradual_factors):
            raise SettingError(
                "zssr.gradual_factors", f"{list(self.zssr.gradual_factors)} must be below factor {self.factor:g}"
            )
        if self.zssr.gradual_factors and self._learnt_kernel not in ("area", "bicubic"):
            raise SettingError(
                "zssr.gradual_factors",
                f"they need a kernel that goes with any factor, area or bicubic, and not {self._learnt_kernel!r}",
            )
        return self

    @property
    def _learnt_kernel(self) -> str:
        return self.kernel if self.zssr.kernel == "known" else self.zssr.kernel


class Evaluation(Section):
    """What is drawn."""

    figure_slices: tuple[SliceNumber, ...] | Literal["auto"] = "auto"
    """Slices of each capture to draw; auto: chosen by what they show."""
    renders: bool = True
    """Draw what was found, missed and invented in 3D too, where an OpenGL library is installed."""


class Config(Section):
    """The configuration of a run."""

    name: Name = "study"
    """Name of the study, for titles."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Everything random follows from it."""
    data: Data
    classes: Classes
    split: Split = Split()
    augmentation: Augmentation = Augmentation()
    network: Network = Network()
    training: Training = Training()
    inference: Inference = Inference()
    boosting: Boosting = Field(default_factory=lambda: Boosting(methods=()))
    """What boosting does to the segmentation; left out: nothing is boosted."""
    evaluation: Evaluation = Evaluation()

    @model_validator(mode="before")
    @classmethod
    def _ids_are_given(cls, data: Any) -> Any:
        """Where labels are ids and no class lists any, they count from 1."""
        try:
            members, captures = data["classes"]["members"], data["data"]["captures"]
            has_ids = any(isinstance(capture.get("labels"), str) for capture in captures)
            if not has_ids or any("ids" in member or not isinstance(member, dict) for member in members):
                return data
        except (TypeError, KeyError, AttributeError):
            return data
        counted = [{**member, "ids": [number]} for number, member in enumerate(members, 1)]
        return {**data, "classes": {**data["classes"], "members": counted}}

    @model_validator(mode="after")
    def _networks_can_be_merged(self) -> Self:
        if self.inference.merged and self.training.targets != "all":
            raise SettingError(
                "inference.merged",
                f"there is nothing to merge: training.targets is {self.training.targets!r}; make it 'all'",
            )
        if self.inference.doubt and not self.inference.merged:
            raise SettingError("inference.doubt", "doubt is in the merged segmentation: set inference.merged, too")
        return self

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        for index, capture in enumerate(self.data.captures):
            self._labels_can_be_read(capture, f"data.captures.{index}.labels")
            self._objects_are_of_classes(capture, f"data.captures.{index}.objects")
        if self.classes.instances and MULTILABEL not in self.targets:
            raise SettingError(
                "training.targets", "only the multilabel network tells objects apart (classes.members' instances): all"
            )
        names = {capture.name for capture in self.data.captures}
        for index, region in enumerate(self.split.regions):
            if region.capture is not None and region.capture not in names:
                # A capture cut into runs is known by its runs' names only after ingest.
                if any(region.capture.startswith(f"{name}_") for name in names):
                    continue
                raise SettingError(
                    f"split.regions.{index}.capture",
                    f"there is no capture {region.capture!r}; there are {sorted(names)}",
                )
        if self.split.regions:
            missing = {"train", "validation", "test"} - {region.part for region in self.split.regions}
            if missing:
                raise SettingError("split.regions", f"no region for {' and '.join(sorted(missing))}")
        return self

    @model_validator(mode="after")
    def _classes_are_labelled(self) -> Self:
        for index, capture in enumerate(self.data.captures):
            unknown = sorted(set(capture.labelled_classes or ()) - set(self.classes.names))
            if unknown:
                raise SettingError(
                    f"data.captures.{index}.labelled_classes",
                    f"unknown classes {unknown}; the classes are {list(self.classes.names)}",
                )
        for number, name in enumerate(self.classes.names, 1):
            if all(number in self.classes.unlabelled(capture) for capture in self.data.captures):
                raise SettingError("data.captures", f"no capture's labelled_classes name {name!r}: it cannot be learnt")
        if not self.classes.exclusive and len(self.classes.members) + len(self.untold) > MAX_OVERLAPPING:
            raise SettingError(
                "data.captures",
                f"labelled_classes of {len(self.untold)} kinds and {len(self.classes.members)} classes that overlap; "
                f"together there can be {MAX_OVERLAPPING}",
            )
        return self

    def _labels_can_be_read(self, capture: Capture, where: str) -> None:
        if capture.labels is None:
            return
        unlabelled = self.classes.unlabelled(capture)
        named = [member for number, member in enumerate(self.classes.members, 1) if number not in unlabelled]
        if isinstance(capture.labels, str):
            without = [member.name for member in named if not member.ids]
            if without:
                raise SettingError(where, f"an id volume, but classes.members has no ids for {', '.join(without)}")
            return
        known = [member.name for member in named]
        unknown = sorted(set(capture.labels) - set(known))
        if unknown:
            kind = "labelled classes" if unlabelled else "classes"
            raise SettingError(where, f"masks for unknown classes {unknown}; the {kind} are {known}")
        fill = [member.name for member in named if member.fill]
        if unlabelled and fill:
            others = ", ".join(self.classes.names[number - 1] for number in unlabelled)
            raise SettingError(
                where.replace("labels", "labelled_classes"),
                f"{fill[0]!r} has fill: true and would take what no mask covers, {others} included; leave it out here",
            )
        without = [member.name for member in named if member.name not in capture.labels and not member.fill]
        if without:
            raise SettingError(
                where,
                f"no mask for {', '.join(without)}; add it, mark one class with fill: true, or list what is labelled "
                "in labelled_classes",
            )

    def _objects_are_of_classes(self, capture: Capture, where: str) -> None:
        told_apart = [member.name for member in self.classes.instances.values()]
        for name in capture.objects or {}:
            if name not in told_apart:
                raise SettingError(
                    where, f"ids of objects of {name!r}, which is no class with instances: true ({told_apart})"
                )
            if capture.labelled_classes is not None and name not in capture.labelled_classes:
                raise SettingError(where, f"ids of objects of {name!r}, which is not among labelled_classes")

    @property
    def untold(self) -> dict[tuple[int, ...], int]:
        """Which classes captures leave untold from each other, and the id or bit in samples of what may be any of them.

        Ids follow those of classes and cores; of classes that overlap it is a bit beside theirs, which says that they
        are not known.
        """
        found = dict.fromkeys(map(self.classes.untold, self.data.captures))
        return {classes: self.classes.sample_ids + number for number, classes in enumerate(filter(None, found), 1)}

    @property
    def counted_ids(self) -> int:
        """How many ids or bits of samples are counted."""
        return self.classes.sample_ids + len(self.untold)

    @property
    def boost_methods(self) -> tuple[str, ...]:
        """Ways to boost the test part; none where there is no multilabel network to see what it does."""
        return self.boosting.methods if MULTILABEL in self.targets else ()

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the networks to train."""
        joint = (MULTILABEL,) if self.training.targets in ("all", "multilabel") else ()
        return joint + (self.classes.worth_a_network if self.training.targets in ("all", "binary") else ())

    def to_yaml(self) -> str:
        """The whole configuration, defaults included, as the YAML that ``parse_config`` reads."""
        return write_yaml(self.model_dump(mode="json", exclude_none=True))


def load_config(path: Path) -> Config:
    """Read a configuration file. Raises ConfigError with the place of everything that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a configuration: {error}") from error
    return parse_config(text, str(path))


def parse_config(text: str, where: str) -> Config:
    """Read a configuration from YAML text; ``where`` names its origin in errors."""
    data = read_yaml(text, where)
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a configuration is a mapping; `vemseg config example` prints one")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error, text, where, Config)) from error


def parse_boosting(text: str, where: str) -> Boosting:
    """The section ``boosting`` from YAML text alone; nothing gives its defaults."""
    data = read_yaml(text, where) or {}
    try:
        return Boosting.model_validate(data)
    except ValidationError as error:
        raise ConfigError(explain(error, text, where, Boosting)) from error


def schema_json() -> str:
    """The JSON schema of the configuration, for editors."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, "title": "vemseg study"}
    schema = {**dialect, **Config.model_json_schema()}
    schema["$defs"]["ClassSettings"]["required"].remove("color")
    return json.dumps(schema, indent=2)


def _refuse_doubles(what: str, values: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"the {what} {value!r} appears twice")
        seen.add(value)
