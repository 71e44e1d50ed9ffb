"""Check and measure vemseg on this machine's GPU in six minutes at most: one table, and JSON.

    make gpu                                                     # or tests/gpu/run, which this is called by
    tests/gpu/run --device cpu --tiny                            # all that a CPU can do of it
    tests/gpu/run --before ../before --only prediction,training  # an earlier build beside this one

Each check says what it found beside its tolerance; what cannot be done is a check that failed, or a note. Measurements
that the minutes do not suffice for are left out, and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from pipeline import __version__


def main() -> None:
    """Ends with 1 where a check fails, with 2 where there is no such device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a network and volumes so small that a CPU takes seconds")
    parser.add_argument("--only", help="some of the parts, with commas between")
    parser.add_argument("--skip", default="", help="parts to leave out")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier build, to be measured beside")
    parser.add_argument("--minutes", type=float, default=6.0, help="after which no further part is begun (default 6)")
    parser.add_argument("--json", type=Path, default=Path("build/gpu.json"), help="(default build/gpu.json)")
    asked = parser.parse_args()
    if asked.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of the steps that are started, too
    import torch

    from tests.gpu.checks import CHECKS
    from tests.gpu.speed import SPEEDS
    from tests.gpu.task import Outcome, Task, markdown

    if asked.device == "cuda" and not torch.cuda.is_available():
        print("gpu: torch finds no CUDA device here; --device cpu does all that a CPU can", file=sys.stderr)
        sys.exit(2)
    device = torch.device(asked.device)
    task = Task.tiny(device) if asked.tiny else Task(device)
    parts: dict[str, Callable[[], Iterator[Outcome]]] = {name: partial(check, task) for name, check in CHECKS.items()}
    parts |= {name: partial(measure, task, asked.before) for name, measure in SPEEDS.items()}
    chosen = [name for name in (asked.only.split(",") if asked.only else parts) if name not in asked.skip.split(",")]
    if unknown := {*chosen, *filter(None, asked.skip.split(","))} - parts.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; parts are {', '.join(parts)}")
    begun, found = time.monotonic(), list[Outcome]()
    for name in chosen:
        if time.monotonic() - begun > 60 * asked.minutes:
            found.append(Outcome(name, None, most=0 if name in CHECKS else None, note="no time was left for it"))
            continue
        print(f"{time.monotonic() - begun:5.0f} s  {name}", file=sys.stderr, flush=True)
        try:
            found += list(parts[name]())
        except Exception as error:  # what a card cannot do must not hide what it can
            what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]
            found.append(Outcome(name, None, most=0, note=what))
    card = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    facts = {
        "device": card,
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "vemseg": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seconds": round(time.monotonic() - begun),
    }
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    print(markdown(found))
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    asked.json.write_text(json.dumps(facts | {"found": [each.as_json() for each in found]}, indent=1))
    sys.exit(any(each.passed is False for each in found))


if __name__ == "__main__":
    main()
