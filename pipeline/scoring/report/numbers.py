"""Numbers as people read them."""

from __future__ import annotations

NARROW_SPACE = "\u202f"
"""One at which no line is broken."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, name, small, below in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name} {rest} {below}" if rest else f"{whole // size} {name}"
    return f"{whole} s"


def amount(count: float) -> str:
    """Return a count to three digits, which no line break parts from its unit: 12, 1.23 k, 45.6 M, 7.89 G."""
    for size, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= 0.9995 * size:
            return f"{count / size:.3g}{NARROW_SPACE}{name}"
    return f"{count:.3g}"


def memory(size_bytes: float) -> str:
    """Return a size of memory in MiB or GiB."""
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"


def whole(count: int) -> str:
    """Return a count in full, its thousands set apart: 626 688."""
    return f"{count:,}".replace(",", NARROW_SPACE)


def share(part: int, of: int) -> str:
    """Return a part in per cent to a tenth, without the sign; "" for none of it, "<0.1" for next to none."""
    if not part or not of:
        return ""
    return "<0.1" if part / of < 0.0005 else f"{100 * part / of:.1f}"


def size(values: tuple[float, ...]) -> str:
    """Return sides as in 16 × 256 × 640."""
    return " × ".join(f"{value:g}" for value in values)
