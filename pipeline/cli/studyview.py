"""What a person sees while a study, a segmentation or a boosting runs, here or on a cluster: its steps in plain words.

`--argo` of run and watch shows the nodes as Argo has them instead.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.argo.nodes import PENDING, POD, RETRY, RUNNING, STOPPED, SUCCEEDED, Node
from pipeline.argo.view import Logs, View, has_failed
from pipeline.formats import decimals, duration, rough_duration
from pipeline.run.foresight import Foresight, Key, StepLook
from pipeline.run.phases import PHASED, SEPARATION

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_PICTURES = 0.25
LOG_LINES = 12
STARTING = ("PodInitializing", "ContainerCreating")
"""What a cluster says of a pod whose image and volumes are made ready."""
LINES_OF_PLAN = 200
"""Of the log of the plan step, at whose end it says what the others are expected to take."""

DOES: dict[str, tuple[str, str]] = {
    "plan": ("reading the captures", "captures read"),
    "augment": ("making training samples", "training samples made"),
    "train": ("training {}", "{} trained"),
    "infer": ("predicting {}", "{} predicted"),
    "infer-group": ("predicting {}", "{} predicted"),
    PHASED: ("telling objects apart", "objects told apart"),
    "merge": ("merging all networks", "all networks merged"),
    "evaluate": ("scoring and drawing", "scored and drawn"),
    "degrade": ("making the test part coarse", "test part made coarse"),
    "boost-train": ("learning to boost", "boosting learnt"),
    "boost-apply": ("boosting by {}", "boosted by {}"),
    "compare": ("comparing what boosting did", "boosting compared"),
    "report": ("writing the report", "report written"),
    "prepare": ("reading the volume", "volume read"),
    "finish": ("drawing previews", "previews drawn"),
    "apply": ("boosting", "boosted"),
}
"""What each step does and has done, by its template; those that are not here say nothing to a person."""
SAME_WORK = {"infer-group": "infer"}
"""Workers of a step that are in workflows of their own."""
_ITEM = re.compile(r"\.(?:target|infer-together|boost|infer-boosted)\(\d+:([^)]*)\)")
_METHOD = re.compile(r"\bmethod:(\w+)")
_ARGO_SAYS = re.compile(r"Error: exit status \d+")
"""The last line of each pod's log that fails on a cluster."""
_F1 = re.compile(r"validation macro F1 ([\d.]+)")


@dataclass
class StepView:
    """A step for one network or method: all its workers and their tries together."""

    template: str
    item: str
    """In words."""
    key: Key
    """By which it was expected."""
    pods: list[Node] = field(default_factory=list)

    @property
    def doing(self) -> str:
        """In words, while it is at work."""
        return DOES[self.template][0].format(self.item)

    @property
    def done_words(self) -> str:
        """In words, once it is done."""
        words = DOES[self.template][1].format(self.item)
        return words[0].upper() + words[1:]

    @property
    def current(self) -> list[Node]:
        """The last try of each worker."""
        last: dict[str, Node] = {}
        for pod in self.pods:
            last[re.sub(r"\(\d+\)$", "", pod.name)] = pod
        return list(last.values())

    @property
    def is_running(self) -> bool:
        """Whether one worker is at work, or the next phase is about to begin."""
        return any(pod.phase == RUNNING for pod in self.current) or 0 < self._phases_done < len(SEPARATION)

    @property
    def is_done(self) -> bool:
        """Whether all workers have ended well, and those of the last phase, too."""
        if self.template == PHASED and self._phases_done < len(SEPARATION):
            return False
        return all(pod.phase == SUCCEEDED for pod in self.current)

    @property
    def _phases_done(self) -> int:
        """Phases that all their workers have ended; 0 of a step that has none."""
        if self.template != PHASED:
            return 0
        ended: dict[str, bool] = {}
        for pod in self.current:
            phase = re.findall(r"\.([a-z-]+)", pod.name)[-1]
            ended[phase] = ended.get(phase, True) and pod.phase == SUCCEEDED
        return sum(ended.values())

    @property
    def progress(self) -> tuple[int, int]:
        """Done, of all; (0, 0) where the workers do not say. Of a step that goes in phases, these."""
        if self.template == PHASED:
            return self._phases_done, len(SEPARATION)
        parts = [pod.progress.partition("/") for pod in self.current if pod.progress]
        return sum(int(done) for done, _, _ in parts), sum(int(total) for _, _, total in parts)

    @property
    def count(self) -> str:
        """How many of its parts are done, where it has several."""
        done, total = self.progress
        return f"{done} of {total}" if total > 1 else ""

    @property
    def begun_at(self) -> float:
        """When the first worker began; infinite before that."""
        return min((pod.started_at for pod in self.pods if pod.started_at), default=inf)

    @property
    def seconds(self) -> float:
        """Since it began, or that it took."""
        started = [pod.started_at for pod in self.pods if pod.started_at]
        if not started:
            return 0.0
        ended = [pod.finished_at or time.time() for pod in self.pods if pod.started_at]
        return max(ended) - min(started)


def steps_of(nodes: Mapping[str, Node]) -> list[StepView]:
    """The steps that have begun, in this order, and those that wait."""
    found: dict[tuple[str, str], StepView] = {}
    tried = {node.parent for node in nodes.values() if node.type == POD}
    for node in nodes.values():
        # A cluster makes no pod before a semaphore has a place for it.
        has_no_pod_yet = node.type == RETRY and node.phase == PENDING and node.name not in tried
        if node.template in DOES and (node.type == POD or has_no_pod_yet):
            key = (SAME_WORK.get(node.template, node.template), _item(node.name))
            step = StepView(node.template, _item_in_words(key[1]), key)
            found.setdefault(key, step).pods.append(node)
    return sorted(found.values(), key=lambda step: step.begun_at)


def _item(name: str) -> str:
    """The networks or the way to boost that a node works for; empty where it is for none of them."""
    match = _ITEM.search(name)
    method = match and _METHOD.search(match[1])
    return method[1] if method else match[1] if match else ""


def _item_in_words(item: str) -> str:
    first, *others = item.split(",")
    if others:
        return f"{_item_in_words(first)} and {len(others)} more"
    words = {"": "the volume", "multilabel": "all classes"}
    return words.get(item, item.replace("_", " "))


class Outlook:
    """How long the steps still take, as the nodes and the log of the plan step say."""

    def __init__(self) -> None:
        self._foresight = Foresight()
        self._has_failed = False

    def see(self, nodes: Mapping[str, Node], logs: Logs) -> list[StepView]:
        """Take the nodes as they are; returns the steps that they are of."""
        steps = steps_of(nodes)
        self._has_failed = any(has_failed(pod, nodes) for step in steps for pod in step.current)
        if self._foresight.expects_nothing:
            for step in steps:
                if step.template == "plan" and step.is_done:
                    self._foresight.expect(logs.last_lines(step.current[-1], LINES_OF_PLAN))
        self._foresight.see(StepLook(step.key, *step.progress, step.seconds, step.is_done) for step in steps)
        return steps

    def of(self, step: StepView) -> str:
        """Of a step, in words; empty where it is not known, or next to nothing."""
        return _left(self._foresight.seconds_left(step.key))

    @property
    def in_all(self) -> str:
        """The same of all steps."""
        return _left(self.seconds_in_all)

    @property
    def seconds_in_all(self) -> float | None:
        """The same in seconds; None where nothing is expected yet, and once a step has failed, which ends the study."""
        return None if self._has_failed else self._foresight.seconds_left_in_all()


def _waits_for(step: StepView) -> str:
    """What a cluster says, such as that no GPU is free; on one machine, or where a semaphore is asked, a core."""
    said = next((pod.message for pod in step.current if pod.message and pod.phase == PENDING), "")
    if said in STARTING:
        return "starts"
    return f"waits: {said}" if said and "lock" not in said.lower() else "waits for a free place"


def _left(seconds: float | None) -> str:
    return f"about {rough_duration(seconds)} left" if seconds is not None and seconds >= 1 else ""


def f1_so_far(step: StepView, logs: Logs) -> str:
    """What a training scored when it was last judged; empty before that."""
    if step.template != "train":
        return ""
    for line in reversed(logs.last_lines(step.current[-1], 60)):
        if match := _F1.search(line):
            return f"F1 {decimals(float(match[1]))} so far"
    return ""


def failure_lines(node: Node, logs: Logs) -> Iterator[str]:
    """Why a step failed: the sentence that it ended with, or else the end of its log, and where the log is."""
    words = DOES.get(node.template, (node.template, ""))[0]
    yield f"{words.format(_item_in_words(_item(node.name)))} failed"
    lines = [line for line in logs.last_lines(node, LOG_LINES) if not _ARGO_SAYS.fullmatch(line)]
    said = next((index for index in range(len(lines) - 1, -1, -1) if lines[index].startswith("vemseg: ")), None)
    if said is not None:
        yield from (f"  {line.removeprefix('vemseg: ')}" for line in lines[said:])
    else:
        yield from (f"  {line}" for line in (lines or [node.message]))
    if said is None and (place := logs.place(node)):
        yield f"  {place}"


def for_people(console: Console) -> View:
    """A table that is drawn anew in place where `console` is a terminal, else a line for each event."""
    return StudyTable(console) if console.is_terminal else StudyLines(console)


class StudyLines(View):
    """One line an event, and one for progress now and then."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._said: set[tuple[str, str]] = set()
        self._progress_at: dict[str, float] = {}
        self._outlook = Outlook()

    def show(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """See `View`."""
        for step in self._outlook.see(nodes, logs):
            if step.is_done and step.seconds > 0 and (step.doing, "begun") in self._said:
                self._once(step.doing, "done", f"{step.done_words}, {duration(step.seconds)}")
            elif step.is_running:
                self._once(step.doing, "begun", step.doing)
                self._show_progress(step, logs)
        for node in list(nodes.values()):
            if has_failed(node, nodes) and node.template in DOES:
                self._once(node.name, "failed", "\n".join(failure_lines(node, logs)))

    def end(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """See `View`."""
        self.show(nodes, logs)

    def note(self, text: str) -> None:
        """See `View`."""
        self._say(text)

    def _show_progress(self, step: StepView, logs: Logs) -> None:
        done, total = step.progress
        now = time.monotonic()
        if total and done < total and now - self._progress_at.setdefault(step.doing, now) >= SECONDS_BETWEEN_LINES:
            self._progress_at[step.doing] = now
            told = ", ".join(filter(None, (step.doing, step.count, f1_so_far(step, logs), self._outlook.of(step))))
            self._say(f"{told}; {self._outlook.in_all} in all" if self._outlook.in_all else told)

    def _once(self, what: str, event: str, text: str) -> None:
        if (what, event) not in self._said:
            self._said.add((what, event))
            self._say(text)

    def _say(self, text: str) -> None:
        self.console.print(Text(f"{time.strftime('%H:%M:%S')} {text}"), soft_wrap=True)


class StudyTable(View):
    """The steps, redrawn in place; failures are printed above them as they happen."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False)
        self._drawn_at = 0.0
        self._reported: set[str] = set()
        self._outlook = Outlook()

    def __enter__(self) -> View:
        self.live.start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self.live.stop()

    def show(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """See `View`."""
        if time.monotonic() - self._drawn_at >= SECONDS_BETWEEN_PICTURES:
            self.end(nodes, logs)

    def end(self, nodes: Mapping[str, Node], logs: Logs) -> None:
        """See `View`."""
        self._drawn_at = time.monotonic()
        for node in nodes.values():
            if has_failed(node, nodes) and node.template in DOES and node.name not in self._reported:
                self._reported.add(node.name)
                head, *others = failure_lines(node, logs)
                self.console.print(Text(f"✖ {head}", style="bold red"))
                self.console.print(Text("\n".join(others)), soft_wrap=True)
        self.live.update(self.table(nodes, logs, self.console.height - 2), refresh=True)

    def table(self, nodes: Mapping[str, Node], logs: Logs, height: int) -> Table:
        """A row a step; where there are more than lines, those that are done go first."""
        every = self._outlook.see(nodes, logs)
        steps = [step for step in every if not any(pod.message.startswith(STOPPED) for pod in step.current)]
        surplus = len(steps) - max(height, 4)
        table = Table.grid(padding=(0, 2))
        for step in steps:
            if surplus > 0 and step.is_done:
                surplus -= 1
                continue
            table.add_row(*self._cells(step, logs, nodes))
        if self._outlook.in_all and any(step.seconds and not step.is_done for step in steps):
            table.caption, table.caption_justify = Text(f"{self._outlook.in_all} in all", style="bold"), "left"
        return table

    def _cells(
        self, step: StepView, logs: Logs, nodes: Mapping[str, Node]
    ) -> tuple[Text, ProgressBar | Text, Text, Text]:
        spent = Text(duration(step.seconds) if step.seconds else "", style="dim")
        if step.is_done:
            return Text(f"✔ {step.done_words}", style="green"), Text(""), spent, Text("")
        if any(has_failed(pod, nodes) for pod in step.current):
            return Text(f"✖ {step.doing}", style="bold red"), Text(""), spent, Text("failed")
        if not step.is_running:
            return Text(f"◷ {step.doing}", style="dim"), Text(_waits_for(step), style="dim"), Text(""), Text("")
        done, total = step.progress
        remarks = [step.count, f1_so_far(step, logs), self._outlook.of(step)]
        bar: ProgressBar | Text = (
            ProgressBar(total=total, completed=done, width=16, complete_style="cyan") if total else Text("")
        )
        return Text(f"● {step.doing}", style="cyan"), bar, spent, Text(", ".join(filter(None, remarks)))
