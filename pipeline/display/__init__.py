"""How objects show themselves in a notebook: what `_repr_html_` of volumes, tables of scores and runs returns.

Everything is plain HTML with its style in it, in the colours of the page around it, be it light or dark.
"""

from pipeline.display.scenes import Scene, scene

__all__ = ["Scene", "scene"]
