"""What fills the cells: mitochondria, vesicles, microtubules and endoplasmic reticulum, the largest first.

Each takes what those before it have left, up to the share that its class has in the tissue.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.phantom.noise import Field, SmoothNoise
from pipeline.phantom.specimen import TARGET_SHARES, Specimen, class_id
from pipeline.phantom.tissue import Ids, Kind, Tissue, squared_length
from pipeline.volume.geometry import Zyx

Hash = npt.NDArray[np.uint32]
Numbers = npt.NDArray[np.uint32]
"""Of objects, from 1, in (z, y, x); 0 where there is none."""

_MITO_MARGIN_NM = 9.0
_CRISTA_NM = 46.0  # from one crista to the next
_LEAST_MITO_NM, _GREATEST_MITO_NM = 20.0, 150.0
_MITO_APART_NM = 40.0
_MITO_CONTACT_NM = 10.0  # how far such a one is drawn into the other
_SHORT_MITO = 0.3  # half its length beside its radius
_MITO_OVERLAP_NM = 30.0  # where they may touch: of two before each is cut at the other
_MITO_SURPLUS = 1.1
_MITO_TRIES = 400  # in vain, before a strip counts as full
_MITO_PLACES = 14  # the more, the more of them crowd in the thickest dendrites

_VESICLE_NM = 20.0
_VESICLE_SPREAD = 0.12
_VESICLES_APART_NM = 41.0
_VESICLES_TOUCH_NM = 36.0  # from centre to centre
_VESICLE_ROOM_NM = 14.0  # from the centre to the membrane

_TUBULE_NM = 12.5
_TUBULE_PITCH_NM = 64.0  # of the square lattice, across the cell, that places are drawn from
_TUBULE_LENGTH_NM = 1500.0
_TUBULE_ROOM_NM = 14.0
_WIDEST_TUBULE_NM = 1.25 * _TUBULE_NM  # before all are trimmed to the share
_TUBULE_SURPLUS = 1.25

_RETICULUM_NODE_NM = 140.0  # sets how far tubules lie apart, and with the share how thick they are
_RETICULUM_ROOM_NM = 7.0
_LEAST_FIELD_SLOPE = 0.6  # of its usual value: where the field is flatter, tubules would swell into vacuoles


def draw_mitochondria(specimen: Specimen, rng: np.random.Generator, *, touching: bool = False) -> Numbers:
    """Bent capsules along the axis of their cell, with a double membrane and cristae; returns the number of each.

    Every strip of the view is filled with its part of the share, then all are trimmed together to meet it exactly.
    """
    hosts = specimen.of_kind(Kind.AXON, Kind.DENDRITE, Kind.BOUTON, Kind.FIBRE) & specimen.free()
    room = np.where(hosts, specimen.room_nm - np.float32(_MITO_MARGIN_NM), np.float32(-1))
    colony = _Colony(specimen, room, -_MITO_OVERLAP_NM if touching else _MITO_APART_NM)
    strips = specimen.strips()
    edges = np.linspace(0, room.shape[2], strips + 1).astype(int)
    for low, high in itertools.pairwise(edges):
        colony.settle(slice(low, high), _MITO_SURPLUS * specimen.wanted("mitochondria") / strips, rng)
    reached = specimen.claim("mitochondria", colony.level_nm, room > 0)
    body = np.flatnonzero(specimen.is_class("mitochondria"))
    edge = np.minimum(np.float32(reached) - colony.level_nm.ravel()[body], room.ravel()[body])
    if touching:  # each has a membrane of its own where they meet
        half_way = np.float32(0.5) * (colony.other_nm.ravel()[body] - colony.level_nm.ravel()[body])
        edge = np.minimum(edge, half_way)
    uneven = specimen.noise(rng, 20.0).ravel()[body]
    specimen.stain.ravel()[body] = _mitochondrial_stain(edge, colony.phase.ravel()[body], uneven)
    return np.where(specimen.is_class("mitochondria"), colony.number, 0).astype(np.uint32)


class _Colony:
    """The mitochondria placed so far: distance from the surface of the nearest (inside: negative), and its cristae.

    `phase` counts cristae along each mitochondrion; `number` says which is the nearest, from 1, and `other_nm` how far
    the second nearest is.
    """

    def __init__(self, specimen: Specimen, room_nm: Field, apart_nm: float) -> None:
        self._specimen, self._room_nm, self._apart_nm = specimen, room_nm, apart_nm
        self.level_nm: Field = np.full(room_nm.shape, np.inf, dtype=np.float32)
        self.other_nm: Field = np.full(room_nm.shape, np.inf, dtype=np.float32)
        self.number: Numbers = np.zeros(room_nm.shape, dtype=np.uint32)
        self._count = 0
        self.phase: Field = np.zeros(room_nm.shape, dtype=np.float32)
        # No single one may use up the share of a small view.
        view_nm2 = float(specimen.frame.axes_nm[1][-1]) * float(specimen.frame.axes_nm[2][-1])
        largest = math.sqrt(TARGET_SHARES["mitochondria"] * view_nm2 / (12 * math.pi))
        self._largest_nm = min(max(largest, 2 * _LEAST_MITO_NM), _GREATEST_MITO_NM)

    def settle(self, strip: slice, voxels: float, rng: np.random.Generator) -> None:
        """Add mitochondria to a strip along x until they have gained so many voxels, or no room is found."""
        failed = 0
        while voxels > 0 and failed < _MITO_TRIES:
            gained = self._add(self._deep_place(strip, rng), rng)
            if gained and self._apart_nm < 0:
                gained += self._add_beside(rng)
            voxels -= gained
            failed = 0 if gained else failed + 1

    def _deep_place(self, strip: slice, rng: np.random.Generator) -> Zyx:
        """The voxel deepest in its cell out of a few random ones."""
        depth, height = self._room_nm.shape[:2]
        tried = rng.integers((0, 0, strip.start), (depth, height, strip.stop), size=(_MITO_PLACES, 3))
        z, y, x = tried[np.argmax(self._room_nm[tuple(tried.T)])]
        return int(z), int(y), int(x)

    def _add(self, center: Zyx, rng: np.random.Generator) -> int:
        """Add one around the voxel `center`; returns how many voxels it gained: none if it would not fit."""
        radius = min(0.92 * float(self._room_nm[center]), rng.uniform(0.5, 1.0) * self._largest_nm)
        if radius < _LEAST_MITO_NM:
            return 0
        return self._grow(center, radius, radius * rng.uniform(0.2, 2.6), rng)

    def _add_beside(self, rng: np.random.Generator) -> int:
        """Add a short one that touches the last; returns how many voxels it gained."""
        box, outside, cell = self._last
        radius = (outside + np.float32(_MITO_CONTACT_NM)) / np.float32(1 + _SHORT_MITO)
        fits = cell & (radius >= _LEAST_MITO_NM) & (radius <= np.minimum(0.92 * self._room_nm[box], self._largest_nm))
        if not fits.any():
            return 0
        place = np.unravel_index(int(np.argmax(np.where(fits, radius, 0))), radius.shape)
        z, y, x = (int(at) + side.start for at, side in zip(place, box, strict=True))
        return self._grow((z, y, x), float(radius[place]), _SHORT_MITO * float(radius[place]), rng)

    def _grow(self, center: Zyx, radius: float, half_length: float, rng: np.random.Generator) -> int:
        frame = self._specimen.frame
        bend = np.float32(rng.uniform(-0.35, 0.35) / (half_length + radius))
        angle = rng.uniform(-0.9, 0.9)
        box = self._specimen.box(self._specimen.position_nm(center), 1.5 * (half_length + radius) + 60.0)
        along, right, up = (c[box] - c[center] for c in (frame.along_nm, frame.right_nm, frame.up_nm))
        right = right - bend * along * along
        beyond = np.maximum(np.abs(along) - np.float32(half_length), 0)
        outside = np.sqrt(beyond * beyond + right * right + up * up) - np.float32(radius)
        cell = frame.owner[box] == frame.owner[center]
        if np.any(cell & (outside + self.level_nm[box] < self._apart_nm)):
            return 0
        self._count += 1
        self._last = box, outside, cell
        nearer = cell & (outside < self.level_nm[box])
        across = np.float32(math.cos(angle)) * along + np.float32(math.sin(angle)) * right
        further = np.maximum(outside, self.level_nm[box])
        np.minimum(self.other_nm[box], further, out=self.other_nm[box], where=cell)
        self.level_nm[box][nearer] = outside[nearer]
        self.number[box][nearer] = self._count
        self.phase[box][nearer] = across[nearer] / np.float32(_CRISTA_NM)
        return int(np.count_nonzero(nearer & (outside < 0) & (self._room_nm[box] > 0)))


def _mitochondrial_stain(edge_nm: Field, phase: Field, uneven: Field) -> Field:
    """A dark double membrane, a grey matrix, and cristae that start at the edge and end somewhere inside."""
    wave = np.cos(np.float32(2 * np.pi) * (phase + np.float32(0.22) * uneven))
    cristae = np.clip(wave * 1.6 - np.float32(0.35) + np.float32(0.25) * uneven, 0, 1)
    stain = np.float32(0.47) + np.float32(0.04) * uneven + np.float32(0.22) * cristae
    rim = np.exp(-(((edge_nm - np.float32(4.0)) / np.float32(5.5)) ** 2))
    painted: Field = np.maximum(stain, np.float32(0.85) * rim)
    return painted


def draw_vesicles(specimen: Specimen, tissue: Tissue, rng: np.random.Generator, *, touching: bool = False) -> Numbers:
    """Small rings crowded in the boutons, most of them close to the synapse; returns the number of each.

    They are dropped at random around each synapse in turn, none into another, until the class has its share.
    """
    apart_nm = _VESICLES_TOUCH_NM if touching else _VESICLES_APART_NM
    numbers: Numbers = np.zeros(specimen.labels.shape, dtype=np.uint32)
    taken = np.zeros(specimen.labels.shape, dtype=np.bool_)
    missing, number = specimen.wanted("vesicles"), 0
    for center in _vesicle_places(specimen, tissue, rng):
        if missing <= 0:
            break
        if not taken[center]:
            radius = _VESICLE_NM * rng.uniform(1 - _VESICLE_SPREAD, 1 + _VESICLE_SPREAD)
            number += 1
            missing -= _add_vesicle(specimen, taken, center, radius, missing, apart_nm, numbers, number)
    return numbers


def _vesicle_places(specimen: Specimen, tissue: Tissue, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Voxels for centres: those of the boutons, each bouton's nearest to its synapse first; then those of axons."""
    frame = specimen.frame
    open_room = specimen.free() & (specimen.room_nm > _VESICLE_ROOM_NM)
    near = [
        _by_distance(specimen, np.argwhere(open_room & (frame.owner == site.bouton)), site.center_nm, rng)
        for site in tissue.synapses
    ]
    for turn in range(max(len(places) for places in near)):
        for places in near:
            if turn < len(places):
                yield tuple(places[turn])
    for place in rng.permutation(np.argwhere(open_room & specimen.of_kind(Kind.AXON))):
        yield tuple(place)


def _by_distance(
    specimen: Specimen, voxels: npt.NDArray[np.intp], center_nm: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.intp]:
    """The voxels ordered by distance from the synapse, loosely, so that the cloud has no sharp rim."""
    places = np.stack([axis[i] for axis, i in zip(specimen.frame.axes_nm, voxels.T, strict=True)], axis=1)
    distance = np.linalg.norm(places - center_nm, axis=1) + rng.exponential(110.0, len(voxels))
    return voxels[np.argsort(distance, kind="stable")]


def _add_vesicle(
    specimen: Specimen,
    taken: npt.NDArray[np.bool_],
    center: tuple[int, ...],
    radius_nm: float,
    most: int,
    apart_nm: float,
    numbers: Numbers,
    number: int,
) -> int:
    """Draw one vesicle of at most `most` voxels and keep its surroundings free; returns how many it got."""
    place_nm = specimen.position_nm(center)
    box = specimen.box(place_nm, apart_nm)
    far = specimen.distance_nm(box, place_nm)
    free = specimen.free(box)
    reach = np.sort(far[free])[:most][-1]
    ball = free & (far <= min(radius_nm, reach))
    specimen.labels[box][ball] = class_id("vesicles")
    ring = np.exp(-(((far - 0.74 * radius_nm) / 5.5) ** 2))
    specimen.stain[box][ball] = (0.14 + 0.62 * ring)[ball]
    numbers[box][ball] = number
    taken[box] |= far < apart_nm
    return int(np.count_nonzero(ball))


def draw_microtubules(specimen: Specimen, rng: np.random.Generator) -> None:
    """Thin straight lines that run side by side along axons and dendrites.

    Pieces of tubules are taken until there are enough voxels, then their radius is trimmed to the exact share.
    """
    frame = specimen.frame
    hosts = specimen.of_kind(Kind.AXON, Kind.DENDRITE, Kind.FIBRE) & specimen.free()
    inside = np.flatnonzero(hosts & (specimen.room_nm > _TUBULE_ROOM_NM))
    owner = frame.owner.ravel()[inside]
    along, right, up = (c.ravel()[inside] for c in (frame.along_nm, frame.right_nm, frame.up_nm))
    column, row = np.floor(right / np.float32(_TUBULE_PITCH_NM)), np.floor(up / np.float32(_TUBULE_PITCH_NM))
    place = _hash(int(rng.integers(2**32)), owner, column, row)
    distance = np.hypot(_off_axis(right, column, place, 1, along), _off_axis(up, row, place, 2, along))
    length = np.float32(min(_TUBULE_LENGTH_NM, 0.2 * float(frame.axes_nm[2][-1])))
    piece = _hash(7, place, np.floor(along / length + _uniform(place, 3)))
    nearby = np.flatnonzero(distance < _WIDEST_TUBULE_NM)
    chosen = nearby[_chosen_tubules(piece[nearby], owner[nearby], inside[nearby], specimen)]
    level = np.full(specimen.labels.shape, np.inf, dtype=np.float32)
    level.ravel()[inside[chosen]] = distance[chosen]
    specimen.claim("microtubules", level, hosts)
    line = np.float32(0.72) * np.exp(-((level / np.float32(11.0)) ** 4))
    np.maximum(specimen.stain, line, out=specimen.stain)


def _chosen_tubules(piece: Hash, owner: Ids, voxel: npt.NDArray[np.intp], specimen: Specimen) -> npt.NDArray[np.bool_]:
    """Choose pieces of tubules, in each strip along x as many as its part of the share asks for.

    Pieces come in an order that is random but favours some cells, since tubules run in bundles. Arguments and
    result have an entry a candidate voxel.
    """
    width = specimen.labels.shape[2]
    strips = specimen.strips()
    _, first, member, size = np.unique(piece, return_index=True, return_inverse=True, return_counts=True)
    middle = np.bincount(member, weights=voxel % width) / size
    strip = (middle * strips / width).astype(np.intp)
    rank = _uniform(piece[first], 4) + _uniform(_hash(11, owner[first]), 5)
    order = np.lexsort((rank, strip))
    before = np.cumsum(size[order]) - size[order]
    strip_start = before[np.searchsorted(strip[order], strip[order])]
    kept = np.zeros(len(size), dtype=np.bool_)
    kept[order] = before - strip_start < _TUBULE_SURPLUS * specimen.wanted("microtubules") / strips
    return kept[member]


def _off_axis(position_nm: Field, node: Field, place: Hash, salt: int, along_nm: Field) -> Field:
    """Distance, along one coordinate across the cell, from the tubule of a lattice node; its path wavers a little."""
    offset = position_nm - node * np.float32(_TUBULE_PITCH_NM)
    offset -= (_uniform(place, salt) * np.float32(0.4) + np.float32(0.3)) * np.float32(_TUBULE_PITCH_NM)
    phase = _uniform(place, salt + 8) * np.float32(2 * np.pi)
    offset -= np.sin(along_nm / np.float32(140.0) + phase) * np.float32(5.0)
    return offset


def _hash(seed: int, *keys: npt.NDArray[np.generic]) -> Hash:
    """One well-mixed 32-bit number a row of whole-number keys (the finaliser of MurmurHash3, once a key)."""
    state = np.full(keys[0].shape, seed % 2**32, dtype=np.uint32)
    for key in keys:
        state ^= key.astype(np.int64).astype(np.uint32)
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            state ^= state >> np.uint32(shift)
            state *= np.uint32(factor)
        state ^= state >> np.uint32(16)
    return state


def _uniform(place: Hash, salt: int) -> Field:
    """A number in [0, 1) that depends on the place and the salt alone."""
    return (_hash(salt, place) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def draw_reticulum(specimen: Specimen, rng: np.random.Generator) -> None:
    """A net of thin tubules and flat cisternae with a membrane of their own.

    They are tubes around the lines on which two smooth random fields both vanish. Their cross-section is an ellipse
    whose flatness changes from place to place: tubule here, cisterna there.
    """
    sheet = _distance_from_zero(specimen, rng)
    sheet *= sheet
    edge = _distance_from_zero(specimen, rng)
    flatness = np.exp(np.float32(-0.95) - np.float32(0.5) * specimen.noise(rng, 200.0))
    level = np.sqrt(sheet + (edge * np.clip(flatness, 0.15, 1.0)) ** 2)
    hosts = ~specimen.of_kind(Kind.SPINE) & (specimen.room_nm > _RETICULUM_ROOM_NM)
    reached = np.float32(specimen.claim("endoplasmic_reticulum", level, hosts))
    body = np.flatnonzero(specimen.is_class("endoplasmic_reticulum"))
    wall = np.minimum(reached - level.ravel()[body], specimen.room_nm.ravel()[body] - np.float32(_RETICULUM_ROOM_NM))
    stain = np.float32(0.14) + np.float32(0.6) * np.exp(-(((wall - np.float32(3.0)) / np.float32(6.0)) ** 2))
    specimen.stain.ravel()[body] = stain


def _distance_from_zero(specimen: Specimen, rng: np.random.Generator) -> Field:
    """Distance in nm, to first order, from the surface on which a fresh random field vanishes."""
    axes = specimen.frame.axes_nm
    field = SmoothNoise(rng, np.zeros(3), np.array([axis[-1] for axis in axes]), _RETICULUM_NODE_NM)
    slope: Field = np.sqrt(squared_length([field.slope(axes, axis) for axis in range(3)]))
    np.maximum(slope, np.float32(_LEAST_FIELD_SLOPE / _RETICULUM_NODE_NM), out=slope)
    return field.sample(axes) / slope
