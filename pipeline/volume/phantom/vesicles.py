"""Synaptic vesicles: small rings crowded in the boutons, most of them close to the synapse."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from pipeline.volume.phantom.cells import Kind
from pipeline.volume.phantom.specimen import Specimen, class_id
from pipeline.volume.phantom.tissue import Tissue

_RADIUS_NM = 20.0
_SPREAD = 0.12
_APART_NM = 41.0
_ROOM_NM = 14.0  # from the centre to the membrane


def draw_vesicles(specimen: Specimen, tissue: Tissue, rng: np.random.Generator) -> None:
    """Drop vesicles at random around each synapse in turn, none into another, until the class has its share."""
    taken = np.zeros(specimen.labels.shape, dtype=np.bool_)
    missing = specimen.wanted("vesicles")
    for center in _places(specimen, tissue, rng):
        if missing <= 0:
            break
        if not taken[center]:
            radius = _RADIUS_NM * rng.uniform(1 - _SPREAD, 1 + _SPREAD)
            missing -= _add_vesicle(specimen, taken, center, radius, missing)


def _places(specimen: Specimen, tissue: Tissue, rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Voxels for centres: those of the boutons, each bouton's nearest to its synapse first; then those of axons."""
    frame = specimen.frame
    open_room = specimen.free() & (specimen.room_nm > _ROOM_NM)
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
    specimen: Specimen, taken: npt.NDArray[np.bool_], center: tuple[int, ...], radius_nm: float, most: int
) -> int:
    """Draw one vesicle of at most `most` voxels and keep its surroundings free; returns how many it got."""
    place_nm = specimen.position_nm(center)
    box = specimen.box(place_nm, _APART_NM)
    far = specimen.distance_nm(box, place_nm)
    free = specimen.free(box)
    reach = np.sort(far[free])[:most][-1]
    ball = free & (far <= min(radius_nm, reach))
    specimen.labels[box][ball] = class_id("vesicles")
    ring = np.exp(-(((far - 0.74 * radius_nm) / 5.5) ** 2))
    specimen.stain[box][ball] = (0.14 + 0.62 * ring)[ball]
    taken[box] |= far < _APART_NM
    return int(np.count_nonzero(ball))
