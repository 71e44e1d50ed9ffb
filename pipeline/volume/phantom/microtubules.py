"""Microtubules: thin straight lines that run side by side along axons and dendrites."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.volume.phantom.cells import Ids, Kind
from pipeline.volume.phantom.noise import Field
from pipeline.volume.phantom.specimen import Specimen

_RADIUS_NM = 12.5
_PITCH_NM = 64.0  # of the square lattice, across the cell, that places are drawn from
_LENGTH_NM = 1500.0
_ROOM_NM = 14.0
_WIDEST_NM = 1.25 * _RADIUS_NM  # before all are trimmed to the share
_SURPLUS = 1.25

Hash = npt.NDArray[np.uint32]


def draw_microtubules(specimen: Specimen, rng: np.random.Generator) -> None:
    """Take pieces of tubules until there are enough voxels, then trim their radius to the exact share."""
    frame = specimen.frame
    hosts = specimen.of_kind(Kind.AXON, Kind.DENDRITE, Kind.FIBRE) & specimen.free()
    inside = np.flatnonzero(hosts & (specimen.room_nm > _ROOM_NM))
    owner = frame.owner.ravel()[inside]
    along, right, up = (c.ravel()[inside] for c in (frame.along_nm, frame.right_nm, frame.up_nm))
    column, row = np.floor(right / np.float32(_PITCH_NM)), np.floor(up / np.float32(_PITCH_NM))
    place = _hash(int(rng.integers(2**32)), owner, column, row)
    distance = np.hypot(_off_axis(right, column, place, 1, along), _off_axis(up, row, place, 2, along))
    length = np.float32(min(_LENGTH_NM, 0.2 * float(frame.axes_nm[2][-1])))
    piece = _hash(7, place, np.floor(along / length + _uniform(place, 3)))
    nearby = np.flatnonzero(distance < _WIDEST_NM)
    chosen = nearby[_choose(piece[nearby], owner[nearby], inside[nearby], specimen)]
    level = np.full(specimen.labels.shape, np.inf, dtype=np.float32)
    level.ravel()[inside[chosen]] = distance[chosen]
    specimen.claim("microtubules", level, hosts)
    line = np.float32(0.72) * np.exp(-((level / np.float32(11.0)) ** 4))
    np.maximum(specimen.stain, line, out=specimen.stain)


def _choose(piece: Hash, owner: Ids, voxel: npt.NDArray[np.intp], specimen: Specimen) -> npt.NDArray[np.bool_]:
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
    kept[order] = before - strip_start < _SURPLUS * specimen.wanted("microtubules") / strips
    return kept[member]


def _off_axis(position_nm: Field, node: Field, place: Hash, salt: int, along_nm: Field) -> Field:
    """Distance, along one coordinate across the cell, from the tubule of a lattice node; its path wavers a little."""
    offset = position_nm - node * np.float32(_PITCH_NM)
    offset -= (_uniform(place, salt) * np.float32(0.4) + np.float32(0.3)) * np.float32(_PITCH_NM)
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
