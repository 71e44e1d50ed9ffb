"""What lies on the surface of cells: myelin sheaths, synaptic densities and the membranes themselves."""

from __future__ import annotations

import numpy as np

from pipeline.phantom.noise import Field
from pipeline.phantom.specimen import Specimen
from pipeline.phantom.tissue import Kind, SynapseSite, Tissue

_LAMELLA_NM = 16.0  # what can be seen of the spiral at this resolution; single turns are 10 to 12 nm
_DISC_TO_DEPTH = 5.5  # radius of a synaptic disc over its thickness on the side of the spine
_SITE_REACH_NM = 420.0  # how far from its planned place a synapse may come to lie
_SKIN_NM = 12.0
_DEEPEST_NM = 45.0


def draw_surfaces(specimen: Specimen, tissue: Tissue, rng: np.random.Generator) -> None:
    """Draw sheaths, synapses and membranes, in this order; then the room inside the cells is known."""
    sheath_nm = _draw_myelin(specimen)
    _draw_synapses(specimen, tissue)
    _draw_membranes(specimen, sheath_nm, rng)


def _draw_myelin(specimen: Specimen) -> float:
    """The outer shell of every myelinated fibre; returns its thickness in nm."""
    depth = specimen.frame.depth_nm
    thickness = specimen.claim("myelin", depth, specimen.of_kind(Kind.FIBRE))
    sheath = specimen.is_class("myelin")
    specimen.stain[sheath] = 0.86 + 0.13 * np.cos(depth[sheath] * np.float32(2 * np.pi / _LAMELLA_NM))
    return thickness


def _draw_synapses(specimen: Specimen, tissue: Tissue) -> None:
    """Dark discs on the contact of bouton and spine, thicker on the side of the spine."""
    level = np.full(specimen.labels.shape, np.inf, dtype=np.float32)
    for site in tissue.synapses:
        _add_disc(level, specimen, site, specimen.wanted("synapses") // len(tissue.synapses))
    reached = specimen.claim("synapses", level, np.isfinite(level))
    near = np.flatnonzero(level < 1.5 * reached)
    ratio = level.ravel()[near] / np.float32(reached)
    cleft = np.exp(-((specimen.frame.depth_nm.ravel()[near] / 4.0) ** 2))
    density = (0.8 - 0.12 * cleft) / (1 + np.exp((ratio - 1.0) / 0.12))
    specimen.stain.ravel()[near] = np.maximum(specimen.stain.ravel()[near], density)


def _add_disc(level: Field, specimen: Specimen, site: SynapseSite, voxels: int) -> None:
    """Lower `level` around one synapse, so that it is 1 or less in `voxels` voxels."""
    frame = specimen.frame
    box = specimen.box(site.center_nm.tolist(), _SITE_REACH_NM)
    owner, neighbour, depth = frame.owner[box], frame.neighbour[box], frame.depth_nm[box]
    far = specimen.distance_nm(box, site.center_nm.tolist())
    skin = (owner == site.bouton) & (depth < _SKIN_NM)
    if not skin.any():
        return
    # The cells' outlines depend on all their neighbours: take the one that covers the planned place best.
    partner = np.argmax(np.bincount(neighbour[skin], weights=np.exp(-far[skin] / 80.0)))
    corner = [part.start for part in box]
    start = np.unravel_index(np.argmin(np.where(skin & (neighbour == partner), far, np.inf)), far.shape)
    radial = specimen.distance_nm(box, specimen.position_nm([int(c + s) for c, s in zip(corner, start, strict=True)]))
    contact = ((owner == site.bouton) & (neighbour == partner)) | ((owner == partner) & (neighbour == site.bouton))
    thin = depth * np.where(owner == site.bouton, np.float32(1.6), np.float32(1.0)) * np.float32(_DISC_TO_DEPTH)
    disc = np.where(contact & (depth < _DEEPEST_NM), (radial**4 + thin**4) ** np.float32(0.25), np.inf)
    radius = np.partition(disc.ravel(), voxels)[voxels]
    if not np.isfinite(radius):
        radius = disc[np.isfinite(disc)].max()
    level[box] = np.minimum(level[box], disc / radius)


def _draw_membranes(specimen: Specimen, sheath_nm: float, rng: np.random.Generator) -> None:
    """One dark line between any two cells, and one around the axon inside each sheath."""
    depth = specimen.frame.depth_nm
    fibre = specimen.of_kind(Kind.FIBRE)
    level = np.where(fibre, np.abs(depth - np.float32(sheath_nm)), depth)
    half = specimen.claim("membrane", level, np.ones_like(fibre))
    specimen.room_nm = np.where(fibre, depth - np.float32(sheath_nm), depth) - np.float32(half)
    uneven = specimen.noise(rng, 35.0)
    line = (np.float32(0.95) + np.float32(0.1) * uneven) * np.exp(-((level / np.float32(half)) ** 2))
    np.maximum(specimen.stain, line, out=specimen.stain)
