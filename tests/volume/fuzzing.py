"""Valid files with damaged bytes, given to their readers in a confined process: what came of it.

A seed makes the same damage anywhere; no damaged file is kept.
"""

from __future__ import annotations

import random
import shutil
import time
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import DataError, VemsegError
from pipeline.volume import confined
from pipeline.volume.sources import STRANGER, open_source

SECONDS, MEMORY_BYTES = 10.0, 512 * 2**20
_PER_PROCESS = 250
# Opened before the process is confined. Not ru_maxrss, which a child inherits from the process that started it.
_STATUS = Path("/proc/self/status").open()  # noqa: SIM115


@dataclass
class Tally:
    """How many inputs were read, refused in words or ended their process; what else happened; the worst of all."""

    outcomes: Counter[str] = field(default_factory=Counter)
    surprises: list[str] = field(default_factory=list)
    slowest_seconds: float = 0.0
    most_bytes: int = 0


def fuzz(places: dict[str, Path], work: Path, inputs: int, first: int = 0) -> Tally:
    """Try so many seeds on the valid files (location by name), in confined processes one after the other."""
    tally, seed = Tally(), first
    log = work / "log"
    while seed < first + inputs:
        log.write_text("")
        stop = min(seed + _PER_PROCESS, first + inputs)
        arguments = {"places": {name: str(place) for name, place in places.items()}, "work": str(work)}
        try:
            found = confined.run(
                "fuzzing:tries",
                {**arguments, "first": seed, "stop": stop},
                what="fuzz",
                readable=[Path(str(place).partition(":")[0]) for place in places.values()],
                writable=[work],
                limits=confined.Limits(memory_bytes=MEMORY_BYTES, cpu_seconds=None, seconds=300.0),
            )
        except DataError as error:
            reached = log.read_text().splitlines()
            tally.outcomes.update(line.split()[1] for line in reached if len(line.split()) > 1)
            seed = int(reached[-1].split()[0]) + 1
            tally.outcomes["process ended"] += 1
            tally.surprises.append(f"seed {seed - 1}: {error}")
            continue
        tally.outcomes.update(found["outcomes"])
        tally.surprises += found["surprises"]
        tally.slowest_seconds = max(tally.slowest_seconds, found["slowest_seconds"])
        tally.most_bytes = max(tally.most_bytes, found["most_bytes"])
        seed = stop
    return tally


def tries(places: dict[str, str], work: str, first: int, stop: int) -> dict[str, Any]:
    """The confined part."""
    warnings.simplefilter("ignore")
    names, outcomes, surprises, slowest = sorted(places), Counter[str](), [], 0.0
    with (Path(work) / "log").open("a") as log:
        for seed in range(first, stop):
            log.write(f"{seed}")
            log.flush()
            location = damaged(places[names[seed % len(names)]], Path(work) / "input", random.Random(seed))
            started = time.monotonic()
            outcome = _outcome(location)
            slowest = max(slowest, time.monotonic() - started)
            outcomes[outcome.split(":")[0]] += 1
            if ":" in outcome:
                surprises.append(f"seed {seed}, {names[seed % len(names)]}: {outcome}")
            log.write(f" {outcome.split(':')[0]}\n")
    _STATUS.seek(0)
    most_bytes = int(next(line for line in _STATUS if line.startswith("VmHWM")).split()[1]) * 1024
    return {"outcomes": outcomes, "surprises": surprises, "slowest_seconds": slowest, "most_bytes": most_bytes}


def _outcome(location: str) -> str:
    try:
        with open_source(location, Path("/"), STRANGER) as source:
            depth = source.shape_zyx[0]
            for z in {0, depth // 2, depth - 1}:
                source.read(z, z + 1)
    except VemsegError as error:
        return "refused" if str(error).strip() else "error:without words"
    except MemoryError as error:
        return f"memory:{error}"
    except Exception as error:
        return f"error:{type(error).__name__}"
    return "read"


def damaged(place: str, target: Path, chance: random.Random) -> str:
    """A copy of a valid file or folder with some bytes changed; its location. Confined, so no mode is copied."""
    path, colon, inner = place.partition(":")
    if target.is_dir():
        shutil.rmtree(target)
    else:
        for old in target.parent.glob("input.*"):
            old.unlink()
    source = Path(path)
    if source.is_dir():
        files = sorted(file.relative_to(source) for file in source.rglob("*") if file.is_file())
        for file in files:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, target / file)
        copy, victim = target, target / chance.choice(files)
    else:
        copy = victim = target.with_name(f"input{source.suffix}")
        shutil.copyfile(source, victim)
    victim.write_bytes(_damage(victim.read_bytes(), chance))
    return f"{copy}{colon}{inner}"


def _damage(content: bytes, chance: random.Random) -> bytes:
    data = bytearray(content)
    if chance.random() < 0.1:
        return bytes(data[: chance.randrange(len(data) + 1)])
    head = min(len(data), 1024)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        at = chance.randrange(head if chance.random() < 0.6 else len(data))
        kind = chance.random()
        if kind < 0.5:
            data[at] ^= 1 << chance.randrange(8)
        elif kind < 0.7:
            data[at] = chance.randrange(256)
        else:
            extreme = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), 0x10000, at))
            size = chance.choice((2, 4, 8))
            number = (extreme & ((1 << (8 * size)) - 1)).to_bytes(size, chance.choice(("little", "big")))
            data[at : at + size] = number[: len(data) - at]
    return bytes(data)
