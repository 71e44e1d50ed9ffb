"""A link that opens a result in Neuroglancer: the state of the viewer as the fragment of its address.

State: https://neuroglancer-docs.web.app/json/api/; sources of OME-Zarr 0.5 are written ``<url>|zarr3:``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from pipeline.volume.geometry import Geometry

VIEWER = "https://neuroglancer-demo.appspot.com/"


def neuroglancer_url(
    raw_url: str,
    labels_url: str,
    classes: Sequence[tuple[int, str, str]],
    geometry: Geometry,
    *,
    viewer: str = VIEWER,
) -> str:
    """The link for an image and its labels at URLs that the viewer's browser can reach.

    classes: value, name and colour. The middle of the volume is shown.
    """
    labels: dict[str, Any] = {
        "type": "segmentation",
        "name": "classes",
        "source": f"{labels_url.rstrip('/')}/|zarr3:",
        "segments": [str(value) for value, _, _ in classes],
        "segmentColors": {str(value): color for value, _, color in classes},
    }
    state = {
        "dimensions": {axis: [nm * 1e-9, "m"] for axis, nm in zip("zyx", geometry.voxel_size_nm, strict=True)},
        "position": [edge / 2 for edge in geometry.shape_zyx],
        "layers": [{"type": "image", "name": "raw", "source": f"{raw_url.rstrip('/')}/|zarr3:"}, labels],
        "layout": "4panel",
    }
    return f"{viewer}#!{quote(json.dumps(state, separators=(',', ':')), safe='')}"
