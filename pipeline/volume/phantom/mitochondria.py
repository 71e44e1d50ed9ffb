"""Mitochondria: bent capsules along the axis of their cell, with a double membrane and cristae."""

from __future__ import annotations

import itertools
import math

import numpy as np

from pipeline.volume.phantom.cells import Kind
from pipeline.volume.phantom.noise import Field
from pipeline.volume.phantom.specimen import TARGET_SHARES, Specimen

_MARGIN_NM = 9.0
_CRISTA_NM = 46.0  # from one crista to the next
_LEAST_RADIUS_NM, _GREATEST_RADIUS_NM = 20.0, 150.0
_APART_NM = 40.0
_SURPLUS = 1.1
_TRIES = 400  # in vain, before a strip counts as full
_TRIED_PLACES = 14  # the more, the more of them crowd in the thickest dendrites


def draw_mitochondria(specimen: Specimen, rng: np.random.Generator) -> None:
    """Fill every strip of the view with its part of the share, then trim all together to meet it exactly."""
    hosts = specimen.of_kind(Kind.AXON, Kind.DENDRITE, Kind.BOUTON, Kind.FIBRE) & specimen.free()
    room = np.where(hosts, specimen.room_nm - np.float32(_MARGIN_NM), np.float32(-1))
    colony = _Colony(specimen, room)
    strips = specimen.strips()
    edges = np.linspace(0, room.shape[2], strips + 1).astype(int)
    for low, high in itertools.pairwise(edges):
        colony.settle(slice(low, high), _SURPLUS * specimen.wanted("mitochondria") / strips, rng)
    reached = specimen.claim("mitochondria", colony.level_nm, room > 0)
    body = np.flatnonzero(specimen.is_class("mitochondria"))
    edge = np.minimum(np.float32(reached) - colony.level_nm.ravel()[body], room.ravel()[body])
    uneven = specimen.noise(rng, 20.0).ravel()[body]
    specimen.stain.ravel()[body] = _stain(edge, colony.phase.ravel()[body], uneven)


class _Colony:
    """The mitochondria placed so far: distance from the surface of the nearest (inside: negative), and its cristae.

    `phase` counts cristae along each mitochondrion.
    """

    def __init__(self, specimen: Specimen, room_nm: Field) -> None:
        self._specimen, self._room_nm = specimen, room_nm
        self.level_nm: Field = np.full(room_nm.shape, np.inf, dtype=np.float32)
        self.phase: Field = np.zeros(room_nm.shape, dtype=np.float32)
        # No single one may use up the share of a small view.
        view_nm2 = float(specimen.frame.axes_nm[1][-1]) * float(specimen.frame.axes_nm[2][-1])
        largest = math.sqrt(TARGET_SHARES["mitochondria"] * view_nm2 / (12 * math.pi))
        self._largest_nm = min(max(largest, 2 * _LEAST_RADIUS_NM), _GREATEST_RADIUS_NM)

    def settle(self, strip: slice, voxels: float, rng: np.random.Generator) -> None:
        """Add mitochondria to a strip along x until they have gained so many voxels, or no room is found."""
        failed = 0
        while voxels > 0 and failed < _TRIES:
            gained = self._add(self._deep_place(strip, rng), rng)
            voxels -= gained
            failed = 0 if gained else failed + 1

    def _deep_place(self, strip: slice, rng: np.random.Generator) -> tuple[int, int, int]:
        """The voxel deepest in its cell out of a few random ones."""
        depth, height = self._room_nm.shape[:2]
        tried = rng.integers((0, 0, strip.start), (depth, height, strip.stop), size=(_TRIED_PLACES, 3))
        z, y, x = tried[np.argmax(self._room_nm[tuple(tried.T)])]
        return int(z), int(y), int(x)

    def _add(self, center: tuple[int, int, int], rng: np.random.Generator) -> int:
        """Add one around the voxel `center`; returns how many voxels it gained: none if it would not fit."""
        frame = self._specimen.frame
        radius = min(0.92 * float(self._room_nm[center]), rng.uniform(0.5, 1.0) * self._largest_nm)
        if radius < _LEAST_RADIUS_NM:
            return 0
        half_length = radius * rng.uniform(0.2, 2.6)
        bend = np.float32(rng.uniform(-0.35, 0.35) / (half_length + radius))
        angle = rng.uniform(-0.9, 0.9)
        box = self._specimen.box(self._specimen.position_nm(center), 1.5 * (half_length + radius) + 60.0)
        along, right, up = (c[box] - c[center] for c in (frame.along_nm, frame.right_nm, frame.up_nm))
        right = right - bend * along * along
        beyond = np.maximum(np.abs(along) - np.float32(half_length), 0)
        outside = np.sqrt(beyond * beyond + right * right + up * up) - np.float32(radius)
        cell = frame.owner[box] == frame.owner[center]
        if np.any(cell & (outside + self.level_nm[box] < _APART_NM)):
            return 0
        nearer = cell & (outside < self.level_nm[box])
        across = np.float32(math.cos(angle)) * along + np.float32(math.sin(angle)) * right
        self.level_nm[box][nearer] = outside[nearer]
        self.phase[box][nearer] = across[nearer] / np.float32(_CRISTA_NM)
        return int(np.count_nonzero(nearer & (outside < 0) & (self._room_nm[box] > 0)))


def _stain(edge_nm: Field, phase: Field, uneven: Field) -> Field:
    """A dark double membrane, a grey matrix, and cristae that start at the edge and end somewhere inside."""
    wave = np.cos(np.float32(2 * np.pi) * (phase + np.float32(0.22) * uneven))
    cristae = np.clip(wave * 1.6 - np.float32(0.35) + np.float32(0.25) * uneven, 0, 1)
    stain = np.float32(0.47) + np.float32(0.04) * uneven + np.float32(0.22) * cristae
    rim = np.exp(-(((edge_nm - np.float32(4.0)) / np.float32(5.5)) ** 2))
    painted: Field = np.maximum(stain, np.float32(0.85) * rim)
    return painted
