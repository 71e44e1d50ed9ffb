"""Volumes in other programs: addresses by which Neuroglancer opens them, and a server on this machine that they read.

Who is given the address can read, nobody else: the server listens on loopback alone, answers to that name alone (so
that no site can borrow its address), and its paths begin with a secret.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os.path import isfile
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import InputError, VemsegError
from pipeline.volume.geometry import Geometry
from pipeline.volume.ngff import LabelClass
from pipeline.volume.stores import Store

VIEWER = "https://neuroglancer-demo.appspot.com/"
HOST = "127.0.0.1"
NAMES = "names"
"""Folder of a served label volume in which Neuroglancer finds what its values are called."""


@dataclass(frozen=True)
class LabelLayer:
    """Labels as a viewer shows them: where they are, value, name and colour of each class, and whether shown at first.

    names_url: where `segment_names` are served, if they are.
    """

    name: str
    url: str
    classes: Sequence[LabelClass]
    names_url: str = ""
    visible: bool = True


def neuroglancer_url(
    raw_url: str,
    labels: Sequence[LabelLayer],
    geometry: Geometry,
    *,
    shown: tuple[float, float] | None = None,
    doubt_url: str = "",
    viewer: str = VIEWER,
) -> str:
    """An address that opens an image and its labels in Neuroglancer, at URLs that the browser can reach.

    The viewer's state is the fragment of its address (https://neuroglancer-docs.web.app/json/api/); sources of OME-Zarr
    0.5 are written ``<url>|zarr3:``. The middle of the volume is shown.

    Args:
        raw_url: of the image; empty where there is none.
        labels: in their order.
        geometry: of the image.
        shown: grey values to show as black and as white; None leaves them to the viewer.
        doubt_url: of an image whose brightness is laid over the others in red, once it is switched on; empty: none.
        viewer: address of the viewer itself.
    """
    image: dict[str, Any] = {"type": "image", "name": "raw", "source": _source(raw_url)}
    if shown:
        image["shaderControls"] = {"normalized": {"range": list(shown)}}
    state = {
        "dimensions": {axis: [nm * 1e-9, "m"] for axis, nm in zip("zyx", geometry.voxel_size_nm, strict=True)},
        "position": [edge / 2 for edge in geometry.shape_zyx],
        "layers": [*([image] if raw_url else []), *map(_label_layer, labels), *_doubt_layers(doubt_url)],
        "layout": "4panel",
    }
    return f"{viewer}#!{quote(json.dumps(state, separators=(',', ':')), safe='')}"


def segment_names(classes: Sequence[LabelClass]) -> bytes:
    """Names of label values as Neuroglancer reads them (precomputed, segment properties)."""
    values = [name for _, name, _ in classes]
    names = {"ids": [str(value) for value, _, _ in classes]}
    inline = {**names, "properties": [{"id": "label", "type": "label", "values": values}]}
    return json.dumps({"@type": "neuroglancer_segment_properties", "inline": inline}).encode()


def _doubt_layers(url: str) -> list[dict[str, Any]]:
    if not url:
        return []
    shader = "void main() { emitRGBA(vec4(1.0, 0.2, 0.1, toNormalized(getDataValue()))); }"
    return [{"type": "image", "name": "doubt", "source": _source(url), "shader": shader, "visible": False}]


def _label_layer(layer: LabelLayer) -> dict[str, Any]:
    source = _source(layer.url)
    return {
        "type": "segmentation",
        "name": layer.name,
        "source": [source, f"precomputed://{layer.names_url}"] if layer.names_url else source,
        "segments": [str(value) for value, _, _ in layer.classes],
        "segmentColors": {str(value): color for value, _, color in layer.classes},
        **({} if layer.visible else {"visible": False}),
    }


def _source(url: str) -> str:
    return f"{url.rstrip('/')}/|zarr3:"


class VolumeServer(ThreadingHTTPServer):
    """Serves volumes, and nothing beside them, on loopback; `serve_forever` runs it, in a thread or not."""

    daemon_threads = True

    def __init__(
        self, volumes: Mapping[str, Store], classes: Mapping[str, Sequence[LabelClass]], port: int = 0
    ) -> None:
        """Listen at a port (0: a free one).

        Args:
            volumes: by the names that they have in addresses.
            classes: of those that are labels.
            port: to listen at.

        Raises:
            InputError: the port is taken.
        """
        self.volumes, self.classes, self._secret = volumes, classes, secrets.token_urlsafe(16)
        try:
            super().__init__((HOST, port), partial(_Files))
        except OSError as error:
            raise InputError(f"--port {port}: cannot be listened at ({error.strerror}); leave it out") from error

    def url(self, name: str) -> str:
        """The address of a volume."""
        return f"http://{HOST}:{self.server_port}/{self._secret}/{quote(name)}"

    def content(self, path: str) -> tuple[Store, str] | bytes | None:
        """What a path stands for: an object, or bytes made for it; None for anything else."""
        _, secret, name, *rest = [*map(unquote, path.split("/")), "", "", ""]
        rest = [part for part in rest if part]
        if not secrets.compare_digest(secret.encode(), self._secret.encode()) or name not in self.volumes:
            return None
        if name in self.classes and rest == [NAMES, "info"]:
            return segment_names(self.classes[name])
        store = self.volumes[name]
        if not rest or not all(map(_is_name, rest)):
            return None
        key, folder = "/".join(rest), store.local_path()
        if folder is not None:
            file = (folder / key).resolve()
            # Of a name that is too long, Path.is_file raises an error.
            if not file.is_relative_to(folder.resolve()) or not isfile(file):  # noqa: PTH113
                return None
        return store, key


def _is_name(part: str) -> bool:
    """Whether a part of a path can be that of an object: one name, of letters that can be seen."""
    return part not in (".", "..") and part.isprintable() and not {"/", "\\"} & set(part)


class _Files(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: VolumeServer

    def do_OPTIONS(self) -> None:
        self._answer(HTTPStatus.NO_CONTENT, b"")

    def do_HEAD(self) -> None:
        self._send(body=False)

    def do_GET(self) -> None:
        self._send(body=True)

    def _send(self, *, body: bool) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0]
        content = self.server.content(urlsplit(self.path).path) if host in (HOST, "localhost") else None
        if isinstance(content, bytes):
            self._answer(HTTPStatus.OK, content, len(content), body=body)
            return
        try:
            size = content[0].size(content[1]) if content else None
            if content is None or size is None:
                self._answer(HTTPStatus.NOT_FOUND, b"")
                return
            store, key = content
            span = _span(self.headers.get("Range", ""), size)
            if span is None:
                self._answer(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", extra={"Content-Range": f"bytes */{size}"}
                )
                return
            start, stop = span
            data = store.read_range(key, start, stop) if body and stop > start else b""
        except VemsegError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, str(error).encode(), body=body)
            return
        part = stop - start < size
        extra = {"Content-Range": f"bytes {start}-{stop - 1}/{size}"} if part else {}
        self._answer(HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK, data, stop - start, extra, body=body)

    def _answer(
        self,
        status: HTTPStatus,
        data: bytes,
        length: int | None = None,
        extra: Mapping[str, str] = {},
        *,
        body: bool = True,
    ) -> None:
        self.send_response(status)
        headers = {
            "Content-Length": str(len(data) if length is None else length),
            "Content-Type": "application/octet-stream",
            "X-Content-Type-Options": "nosniff",
            "Accept-Ranges": "bytes",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": "GET, HEAD",
            "Access-Control-Allow-Headers": "Range",
            "Access-Control-Allow-Private-Network": "true",
            "Access-Control-Expose-Headers": "Content-Range, Content-Length",
            **extra,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a viewer asks for thousands of files."""


def _span(header: str, size: int) -> tuple[int, int] | None:
    """Start and stop of one range of bytes, all where none is asked for (RFC 9110); None where there is no such."""
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    numbers = all(part.isdecimal() and part.isascii() for part in (first, last) if part)
    if unit.strip() != "bytes" or not dash or not numbers or not (first or last):
        return 0, size
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    start, stop = int(first), min(int(last) + 1, size) if last else size
    return (start, stop) if start < size and start < stop else None
