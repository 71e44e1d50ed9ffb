"""How long a run still takes, each step and in all: by how fast its steps go, and by what they were expected to take.

A step that says how much of its work is done goes on as fast as it went since it first said so. One that has not begun,
or says nothing, takes what was expected, times what steps of its kind have taken more or less than that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.run.phases import PHASED

LEAST_SHARE = 0.05
"""Of a step's work: how fast it goes is not known before so much of it is done."""
MORE_THAN_EXPECTED = 0.1
"""Of the time that a step has taken, that it still takes when it should have ended."""
FIRST, LAST = ("plan", "augment", "prepare"), (PHASED, "merge", "report", "finish")
"""Steps before and after those that can be at work at once."""
JUDGING = ("evaluate", "compare")
"""They can, too, among the last; most of their time they draw, after all that they count is done."""
LIKE = {"infer": "train", "boost-train": "train", "boost-apply": "boost-train"}
"""Whose deviation counts where none of the step's own kind is known: both are a matter of how fast networks are."""
BY_NETWORKS = ("train", "infer", "boost-train", "boost-apply")
"""What the others took together counts for each of them: they say how busy the processor is."""
DOUBTED_S = 10.0
"""Expected of others: what they took before it is so much says as much as seconds that went as expected."""
TOGETHER = ","
"""Between targets that are predicted together, once all are trained."""
_EXPECTED = "expected: "
_STEP = re.compile(r"([a-z-]+)(?: ([\w,-]+))? ([\d.]+) s")

Key = tuple[str, str]
"""The template of a step, and what it works for: a target, several with commas between, a method, or nothing."""


@dataclass(frozen=True)
class StepLook:
    """A step as it is now, all its workers together."""

    key: Key
    done: int
    total: int
    """0 where it does not say how much there is."""
    seconds: float
    """Since it began, or that it took; 0 before it begins."""
    is_done: bool


def steady_seconds_left(seconds: float, done: int, total: int) -> float | None:
    """Of a step that is at work since so long and began with nothing done; None as long as too little is done."""
    return None if done < max(1, LEAST_SHARE * total) else seconds / done * (total - done)


class Pace:
    """How fast one step goes."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def seconds_left(self, seconds: float, done: int, total: int) -> float | None:
        """Of a step that has been at work for so long; None as long as too little is done, or all is one piece."""
        if total <= 1:
            return None
        if self._first is None or done < self._first[1]:
            self._first = self._last = (seconds, done)
        if done != self._last[1]:
            self._last = (seconds, done)
        (begun, at_first), (at, _) = self._first, self._last
        if done - at_first < max(1, LEAST_SHARE * total):
            return None
        return max(0.0, (at - begun) / (done - at_first) * (total - done) - (seconds - at))


class Foresight:
    """Call `see` whenever something may have changed."""

    def __init__(self) -> None:
        self._expected: Mapping[Key, float] = {}
        self._paces: dict[Key, Pace] = defaultdict(Pace)
        self._looks: dict[Key, StepLook] = {}
        self._paced: dict[Key, float | None] = {}
        self._at_once = 1

    @property
    def expects_nothing(self) -> bool:
        """Whether `expect` has told it nothing yet."""
        return not self._expected

    def expect(self, lines: Iterable[str]) -> None:
        """Take what steps are expected to take from a log of the plan step, which `expectation` is in."""
        for line in lines:
            _, found, text = line.partition(_EXPECTED)
            if found:
                self._expected = {(step, item or ""): float(took) for step, item, took in _STEP.findall(text)}

    def see(self, looks: Iterable[StepLook]) -> None:
        """The steps that have begun or wait."""
        self._looks = {look.key: look for look in looks}
        at_work = [look for look in self._looks.values() if look.seconds and not look.is_done]
        self._at_once = max(self._at_once, len(at_work))
        for look in (each for each in at_work if each.key[0] not in JUDGING):
            self._paced[look.key] = self._paces[look.key].seconds_left(look.seconds, look.done, look.total)

    def seconds_left(self, key: Key) -> float | None:
        """Of a step; None where nothing is known."""
        look = self._looks.get(key)
        if look and look.is_done:
            return 0.0
        begun = look is not None and look.seconds > 0
        paced = self._paced.get(key) if begun else None
        if paced is not None:
            return paced
        if key not in self._expected:
            return None
        took = look.seconds if look else 0.0
        return max(self._expected[key] * self._ratio(key[0]) - took, MORE_THAN_EXPECTED * took)

    def seconds_left_in_all(self) -> float | None:
        """Of all steps; None before anything is expected."""
        if not self._expected:
            return None
        before = after = 0.0
        chains: dict[str, float] = defaultdict(float)
        groups: dict[str, float] = defaultdict(float)
        judging: dict[str, float] = defaultdict(float)
        for key in self._expected.keys() | self._looks.keys():
            left = self.seconds_left(key) or 0.0
            if key[0] in FIRST:
                before += left
            elif key[0] in JUDGING:
                judging[key[0]] += left
            elif key[0] in LAST:
                after += left
            elif TOGETHER in key[1]:
                groups[key[1]] += left
            else:
                chains[key[1]] += left
        return before + sum(map(self._side_by_side, (chains, groups, judging))) + after

    def _side_by_side(self, chains: Mapping[str, float]) -> float:
        """Of steps that wait for each other within a chain only."""
        return max(max(chains.values(), default=0.0), sum(chains.values()) / self._at_once)

    def _ratio(self, template: str) -> float:
        """What steps of a kind take, of what was expected."""
        for kind in (template, LIKE.get(template, template)):
            took, expected = self._took_and_expected([key for key in self._looks if key[0] == kind])
            if expected:
                return took / expected
        took, expected = self._took_and_expected([key for key in self._looks if key[0] not in BY_NETWORKS])
        return (took + DOUBTED_S) / (expected + DOUBTED_S)

    def _took_and_expected(self, keys: Iterable[Key]) -> tuple[float, float]:
        """Seconds of those that are done or whose pace is known."""
        took = expected = 0.0
        for key in keys:
            look = self._looks[key]
            paced = 0.0 if look.is_done else self._paced.get(key)
            if key in self._expected and look.seconds and paced is not None:
                took, expected = took + look.seconds + paced, expected + self._expected[key]
        return took, expected


def expectation(expected: Mapping[Key, float]) -> str:
    """A line that people and `Foresight.expect` read."""
    steps = "; ".join(f"{' '.join(filter(None, key))} {seconds:.1f} s" for key, seconds in expected.items())
    return f"{_EXPECTED}{steps}"
