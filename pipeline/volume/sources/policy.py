"""What may be done with a file, by who gave it: whether it may name other files, and how much it may hold.

The command line reads its user's own files (`TRUSTED`); the application reads those of strangers (`STRANGER`), which
is also what holds where nobody says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any

from pipeline.errors import DataError
from pipeline.formats import file_size

GIBIBYTE = 2**30


@dataclass(frozen=True)
class Limits:
    """How much a file may hold.

    Args:
        files: entries of an archive, or files of a folder.
        total_bytes: of voxels, and of what an archive unpacks to.
        ratio: unpacked bytes a packed byte of an archive.
        small_bytes: up to which that ratio does not count, since tiny masks pack very well.
        depth: folders within each other in an archive.
        piece_bytes: what has to be decoded at once to read any voxel.
        sparse_ratio: bytes of voxels a stored byte, in formats that leave out what was never written.
    """

    files: int = 100_000
    total_bytes: int = 2**40
    ratio: float = 250.0
    small_bytes: int = 2**16
    depth: int = 32
    piece_bytes: float = inf
    sparse_ratio: float = inf


@dataclass(frozen=True)
class Policy:
    """Whether a file may name others (links, external and virtual data), be an archive, and its limits."""

    follows_references: bool
    unpacks: bool = True
    limits: Limits = field(default_factory=Limits)

    @property
    def inside(self) -> Policy:
        """For what lies in an archive, which is never another archive."""
        return replace(self, unpacks=False)

    def as_json(self) -> dict[str, Any]:
        """The policy as a confined process is told it."""
        return asdict(self)

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> Policy:
        """The policy that `as_json` gave."""
        return cls(**{**content, "limits": Limits(**content["limits"])})


TRUSTED = Policy(follows_references=True)
STRANGER = Policy(
    follows_references=False,
    limits=Limits(files=20_000, total_bytes=200 * GIBIBYTE, ratio=100.0, depth=16, piece_bytes=2**28, sparse_ratio=2e4),
)

DEFLATE_RATIO = 1032.0
"""Bytes that a byte of deflate (PNG, zip, gzip) can become at most (https://zlib.net/zlib_tech.html)."""
# Below this nothing is gained by a lie.
_HARMLESS_BYTES = 2**26


def refuse_lies(where: str, voxel_bytes: float, stored_bytes: float, ratio: float) -> None:
    """Compare what a header claims with what its file can hold, before anything is allocated.

    Args:
        where: file, or slice, for the message.
        voxel_bytes: what the header claims.
        stored_bytes: what is there.
        ratio: bytes of voxels that a stored byte can hold at most.

    Raises:
        DataError: the claim cannot be true.
    """
    if voxel_bytes > max(_HARMLESS_BYTES, stored_bytes * ratio):
        raise DataError(
            f"{where}: claims to hold {file_size(voxel_bytes)} of voxels, which cannot be in "
            f"{file_size(stored_bytes)}; it is damaged, export it again"
        )


def refuse_large(where: str, size_bytes: int, piece_bytes: int, limits: Limits) -> None:
    """Raise DataError for a volume of more bytes, or stored in larger pieces, than the limits take."""
    if piece_bytes > limits.piece_bytes:
        raise DataError(
            f"{where} is stored in pieces of {file_size(piece_bytes)}, at most {file_size(limits.piece_bytes)} are "
            "read at once; save it with smaller chunks"
        )
    if size_bytes > limits.total_bytes:
        raise DataError(
            f"{where} holds {file_size(size_bytes)} of voxels, at most {file_size(limits.total_bytes)} are taken; "
            "cut it into parts"
        )
