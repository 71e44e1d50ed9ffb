"""Numbers, times, sizes and tables as text: one way to write each, for tables, figures, report, terminal and pages."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import floor, log10

ABSENT = "–"
"""In place of a number that is not defined."""
NARROW_SPACE = "\u202f"
"""One at which no line is broken."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def decimals(value: float | None) -> str:
    """Return a score in [0, 1] as a paper prints it: .954, 1.000, a dash for None."""
    return ABSENT if value is None else f"{value:.3f}".removeprefix("0")


def signed(difference: float | None) -> str:
    """Return a difference of scores to three decimals with its sign: +.012, −.003, a dash for None."""
    if difference is None:
        return ABSENT
    size = decimals(abs(difference))
    if size == decimals(0.0):
        return size
    return f"{'+' if difference > 0 else '−'}{size}"


def fixed(value: float | None, digits: int, scale: float = 1) -> str:
    """Return `scale` times a value with so many digits behind the point and a true minus sign, a dash for None."""
    return ABSENT if value is None else f"{scale * value:.{digits}f}".replace("-", "−")


def percent_number(share: float | None) -> str:
    """Return a share in [0, 1] in per cent to two decimals, for a column that says "%" in its title; "" for None."""
    return "" if share is None else f"{100 * share:.2f}"


def percent_part(part: int, of: int) -> str:
    """Return a part in per cent to one decimal, for a cell: "" for none of it, "<0.1" for next to none."""
    if not part or not of:
        return ""
    return "<0.1" if part / of < 0.0005 else f"{100 * part / of:.1f}"


def percent_phrase(share: float) -> str:
    """Return a share in [0, 1] with its sign, for a sentence: 12.3 %, < 0.1 %; no line is broken within it."""
    return f"{100 * share:.1f}\u00a0%" if share >= 0.0005 or share == 0 else "<\u00a00.1\u00a0%"


def duration(seconds: float) -> str:
    """Return a time in its two largest units: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    rounded = round(seconds)
    for size, name, small, below in ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s")):
        if rounded >= size:
            rest = rounded % size // small
            return f"{rounded // size} {name} {rest} {below}" if rest else f"{rounded // size} {name}"
    return f"{rounded} s"


def rough_duration(seconds: float) -> str:
    """Return a time in one unit, for what changes while one looks at it: 80 s, 12 min, 1.6 h."""
    if seconds < 1.5 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"


def amount(count: float) -> str:
    """Return a count to three digits, which no line break parts from its unit: 12, 1.23 k, 45.6 M, 7.89 G."""
    for size, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= 0.9995 * size:
            return f"{count / size:.3g}{NARROW_SPACE}{name}"
    return f"{count:.3g}"


def whole(count: int) -> str:
    """Return a count in full, its thousands set apart: 626 688."""
    return f"{count:,}".replace(",", NARROW_SPACE)


def memory(size_bytes: float) -> str:
    """Return a size of memory in MiB or GiB, in which memory is requested."""
    return f"{size_bytes / 2**30:.1f} GiB" if size_bytes >= 2**30 else f"{size_bytes / 2**20:.0f} MiB"


def file_size(size_bytes: float) -> str:
    """Return a size of a file in decimal units, in which disks are sold: 950 bytes, 12.3 kB, 456 MB."""
    value, units = float(size_bytes), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "bytes" or value >= 100 else f"{value:.1f} {units[0]}"


def sides(values: Iterable[float], by: str = "×") -> str:
    """Return sides as in 16 × 256 × 640; whole ones with all of their digits. A terminal takes `by` = "x"."""
    return f" {by} ".join(str(value) if isinstance(value, int) else f"{value:g}" for value in values)


def volume_um3(volume: float) -> str:
    """Return a volume in cubic micrometres with two digits that count, and no exponent."""
    return f"{Decimal(f'{volume:.2g}'):f}"


def length(nanometres: float) -> str:
    """Return a length in nm, or from one on in µm."""
    return f"{nanometres / 1000:g} µm" if nanometres >= 1000 else f"{nanometres:g} nm"


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is not above `most`: the length of a scale bar."""
    power = 10.0 ** floor(log10(most))
    return float(f"{max(step * power for step in (1, 2, 5) if step * power <= most * (1 + 1e-9)):.6g}")


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """Return a table without a final line break.

    Args:
        titles: of the columns.
        rows: cells as text, which stays text whatever it holds.
        text_columns: so many columns stand to the left; the others, which hold numbers, to the right.
    """
    marks = [":---"] * text_columns + ["---:"] * (len(titles) - text_columns)
    return "\n".join(f"| {' | '.join(map(_escaped, line))} |" for line in (titles, marks, *rows))


def csv_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return lines with commas between their cells; a cell of None is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(rows)
    return text.getvalue()


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", r"\|")
