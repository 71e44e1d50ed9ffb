"""A labelled phantom of mouse cortex, for trying every step without data of one's own.

Read in this order: `cells` (a tube and its distance field), `tissue` (packing tubes), `partition` (who owns each
voxel), `specimen` (labels and stain while they are drawn), then what is drawn (`surfaces`, `mitochondria`,
`vesicles`, `microtubules`, `reticulum`) and how it is imaged (`imaging`). `capture` puts them together.
"""

from pipeline.volume.phantom.capture import Phantom, make_phantom
from pipeline.volume.phantom.specimen import PHANTOM_CLASSES, TARGET_SHARES

__all__ = ["PHANTOM_CLASSES", "TARGET_SHARES", "Phantom", "make_phantom"]
