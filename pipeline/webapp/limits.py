"""How much of a stranger's file the application takes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.volume import archive

GIBIBYTE = 2**30


@dataclass(frozen=True)
class Limits:
    """What intake accepts.

    upload_bytes: of a file. volume_bytes: of voxels, or of what an archive unpacks to. archive_entries: files in an
    archive. archive_ratio: unpacked bytes a packed byte.
    """

    upload_bytes: int = 50 * GIBIBYTE
    volume_bytes: int = 200 * GIBIBYTE
    archive_entries: int = 20_000
    archive_ratio: float = 100.0

    @property
    def of_archives(self) -> archive.Limits:
        """The part that unpacking minds."""
        return archive.Limits(self.archive_entries, self.volume_bytes, self.archive_ratio)


def in_words(size_bytes: int) -> str:
    """A number of bytes as people write it."""
    value, units = float(size_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" or value >= 100 else f"{value:.1f} {units[0]}"
