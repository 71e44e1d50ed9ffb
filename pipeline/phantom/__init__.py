"""A labelled phantom of mouse cortex, for trying every step without data of one's own.

Read in this order: `tissue` (cells and how they are packed), `partition` (who owns each voxel), `specimen` (labels and
stain while they are drawn), then what is drawn (`surfaces`, `organelles`). `capture` puts them together and images
them.
"""

from pipeline.phantom.capture import Phantom, make_phantom
from pipeline.phantom.specimen import PHANTOM_CLASSES, TARGET_SHARES

__all__ = ["PHANTOM_CLASSES", "TARGET_SHARES", "Phantom", "make_phantom"]
