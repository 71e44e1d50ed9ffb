"""A training within a run: it goes on from its last state, is saved every few minutes, and stops when asked to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pipeline.errors import Preempted
from pipeline.nn.checkpoint import pack, unpack
from pipeline.nn.description import sealed
from pipeline.nn.ranks import any_rank, rank, ranks
from pipeline.run.events import Reporter
from pipeline.run.layout import TRAINING_STATE
from pipeline.run.markers import Marker
from pipeline.run.shards import stop_requested
from pipeline.volume.stores import Store

if TYPE_CHECKING:
    from pipeline.nn.batches import Batch
    from pipeline.nn.training import Trainer

SavedState = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and facts, as `Trainer.state` gives them."""


@dataclass(frozen=True)
class TrainedFiles:
    """Where a network and the state of its training lie in the run.

    Args:
        name: in messages.
        store: holds ``model.safetensors``, ``model.json`` and, until these are written, the state.
        marker: of the training; a state that was made from something else is not gone on from.
    """

    name: str
    store: Store
    marker: Marker

    def last_state(self, report: Reporter) -> SavedState | None:
        """The last state, if it is of this very training, whose number of threads is taken over.

        Sums are rounded otherwise by another number of threads, in batches as in the network: call it before anything
        is computed. Raises CheckpointError when the state is damaged.
        """
        try:
            data = self.store.read(TRAINING_STATE)
        except FileNotFoundError:
            return None
        tensors, facts = unpack(data, self._state_url)
        if facts.get("made_from") != self.marker.digest:
            report.say("the saved state belongs to another configuration; starting anew")
            return None
        former = facts.get("devices", 1)
        if former != ranks():
            self._say(report, f"was shared by {former} devices before, and is by {ranks()} now: sums round otherwise")
        threads, own = facts.get("threads", torch.get_num_threads()), torch.get_num_threads()
        if threads != own:
            torch.set_num_threads(threads)
            self._say(report, f"goes on with the number of threads that it began with, {threads}, and not {own}")
        return tensors, facts

    def resume(self, trainer: Trainer[Any], saved: SavedState, report: Reporter) -> None:
        """Go on from a state. Raises CheckpointError when it belongs to another network."""
        trainer.restore(*saved, self._state_url)
        report.event("resumed", at_step=trainer.progress.step)
        self._say(report, f"goes on at step {trainer.progress.step}")

    def save(self, trainer: Trainer[Any]) -> None:
        """Keep the state; of several ranks the first one does."""
        if rank():
            return
        tensors, facts = trainer.state()
        facts |= {"made_from": self.marker.digest, **_computed_with()}
        self.store.write(TRAINING_STATE, pack(tensors, facts))

    def finish(self, weights: bytes, description: dict[str, Any], files: Mapping[str, bytes] | None = None) -> None:
        """Write the network and what is told of it, then mark the training as done and let go of its state.

        Args:
            weights: ``model.safetensors``.
            description: what ``model.json`` is to say, beside how many devices and threads there were.
            files: what else there is of it, by name.
        """
        with self.marker.making() as facts:
            self.store.write("model.safetensors", weights)
            for name, data in (files or {}).items():
                self.store.write(name, data)
            self.store.write_json("model.json", sealed({**description, **_computed_with()}))
            facts["weights_sha256"] = description["weights_sha256"]
        self.store.delete(TRAINING_STATE)

    def _say(self, report: Reporter, text: str) -> None:
        """Name the network, unless the step works for it alone."""
        report.say(text if report.name.endswith(f" {self.name}") else f"{self.name} {text}")

    @property
    def _state_url(self) -> str:
        return f"{self.store.url}/{TRAINING_STATE}"


def _computed_with() -> dict[str, int]:
    """What rounding depends on: how many devices shared each batch, and the threads of each process."""
    return {"devices": ranks(), "threads": torch.get_num_threads()}


def train_to_the_end(
    trainer: Trainer[Any],
    batches: Callable[[int], Iterable[Batch]],
    files: TrainedFiles,
    report: Reporter,
    *,
    saved: SavedState | None,
    checkpoint_s: float,
    progress: Callable[[float, float], str],
    judged: Callable[[dict[str, float]], None] = lambda _: None,
) -> None:
    """Train, from the last state on, until the schedule ends.

    Args:
        batches: from a step on.
        saved: the last state, if there is one.
        checkpoint_s: longest time between two states that are saved.
        progress: what to say of a step, given its loss and the steps a second.
        judged: told each row of the history.

    Raises:
        Preempted: asked to stop; the state is saved.
        CheckpointError: the last state belongs to another network.
    """
    if saved:
        files.resume(trainer, saved, report)
    else:
        # The number of threads is kept from the first step on, wherever a process that was killed is started again.
        files.save(trainer)
    metrics, most = report.metrics, trainer.schedule.steps
    save, judge = metrics.timed("write", files.save), metrics.timed("compute", trainer.judge)
    metrics.checkpoint(interval_seconds=checkpoint_s)
    started = saved_at = time.monotonic()
    first = trainer.progress.step
    with stop_requested() as stop:
        for images, truth in metrics.each("queue", batches(first)):
            with metrics.seconds("compute"):
                loss = trainer.step(images, truth)
            metrics.loss(loss)
            metrics.voxels(truth.numel() * ranks())
            done = trainer.progress.step
            report.progress(done, most, progress(loss, (done - first) / (time.monotonic() - started)))
            if trainer.judgement_due and not rank():
                judged(judge())
            if trainer.ended:
                return
            if any_rank(stop()):
                save(trainer)
                raise Preempted(
                    f"training {files.name}: asked to stop; step {done} of {most} is saved, start again to go on"
                )
            if time.monotonic() - saved_at > checkpoint_s:
                save(trainer)
                saved_at = time.monotonic()
                metrics.checkpoint(interval_seconds=checkpoint_s)
