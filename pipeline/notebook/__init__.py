"""How volumes, tables of scores and runs show themselves in a notebook: ``%load_ext pipeline.notebook``.

Everything is plain HTML with its style in it, in the colours of the page around it, be it light or dark. What is shown
knows nothing of it: the displays are attached here, from above.
"""

from pipeline.notebook.displays import Scene, register, scene
from pipeline.notebook.frames import objects

__all__ = ["Scene", "load_ipython_extension", "objects", "register", "scene"]

register()  # so that importing it is enough, too


def load_ipython_extension(_: object) -> None:
    """Let IPython load it; called on ``%load_ext pipeline.notebook``."""
    register()
