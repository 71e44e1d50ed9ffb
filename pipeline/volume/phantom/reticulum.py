"""The endoplasmic reticulum: a net of thin tubules and flat cisternae with a membrane of their own."""

from __future__ import annotations

import numpy as np

from pipeline.volume.phantom.cells import Kind, squared_length
from pipeline.volume.phantom.noise import Field, SmoothNoise
from pipeline.volume.phantom.specimen import Specimen

_NODE_NM = 140.0  # sets how far tubules lie apart, and with the share how thick they are
_ROOM_NM = 7.0
_LEAST_SLOPE = 0.6  # of its usual value: where the field is flatter, tubules would swell into vacuoles


def draw_reticulum(specimen: Specimen, rng: np.random.Generator) -> None:
    """Tubes around the lines on which two smooth random fields both vanish.

    Their cross-section is an ellipse whose flatness changes from place to place: tubule here, cisterna there.
    """
    sheet = _distance_from_zero(specimen, rng)
    sheet *= sheet
    edge = _distance_from_zero(specimen, rng)
    flatness = np.exp(np.float32(-0.95) - np.float32(0.5) * specimen.noise(rng, 200.0))
    level = np.sqrt(sheet + (edge * np.clip(flatness, 0.15, 1.0)) ** 2)
    hosts = ~specimen.of_kind(Kind.SPINE) & (specimen.room_nm > _ROOM_NM)
    reached = np.float32(specimen.claim("endoplasmic_reticulum", level, hosts))
    body = np.flatnonzero(specimen.is_class("endoplasmic_reticulum"))
    wall = np.minimum(reached - level.ravel()[body], specimen.room_nm.ravel()[body] - np.float32(_ROOM_NM))
    stain = np.float32(0.14) + np.float32(0.6) * np.exp(-(((wall - np.float32(3.0)) / np.float32(6.0)) ** 2))
    specimen.stain.ravel()[body] = stain


def _distance_from_zero(specimen: Specimen, rng: np.random.Generator) -> Field:
    """Distance in nm, to first order, from the surface on which a fresh random field vanishes."""
    axes = specimen.frame.axes_nm
    field = SmoothNoise(rng, np.zeros(3), np.array([axis[-1] for axis in axes]), _NODE_NM)
    slope: Field = np.sqrt(squared_length([field.slope(axes, axis) for axis in range(3)]))
    np.maximum(slope, np.float32(_LEAST_SLOPE / _NODE_NM), out=slope)
    return field.sample(axes) / slope
