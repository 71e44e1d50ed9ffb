"""YAML as a stream of events, with limits: read without recursion and before anything is built of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import yaml

Refuse = Callable[[yaml.Event, str], None]
"""Told an event and what is wrong with it; raises."""


def events_within_limits(
    text: str, loader: type[yaml.SafeLoader], *, deepest: int, most_values: int, refuse: Refuse
) -> Iterator[yaml.Event]:
    """The events of a text that a reader can make values of in reasonable time; at others `refuse` is called.

    Args:
        deepest: lists and mappings inside each other.
        most_values: of the text, those that aliases (also of merge keys) repeat counted each time.
    """
    sizes: dict[str, int] = {}
    """Values below each anchor that is closed."""
    around: list[tuple[str | None, int]] = []
    """Anchor of each open mapping or list, and the values before it."""
    values = 0
    for event in yaml.parse(text, loader):
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((event.anchor, values))
            if len(around) > deepest:
                refuse(event, f"more than {deepest} lists and mappings inside each other; write it flatter")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = around.pop()
            if anchor:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in {anchor for anchor, _ in around}:
                refuse(event, f"the alias *{event.anchor} stands inside of what it names; write it out")
            values += sizes.get(str(event.anchor), 0)
        elif isinstance(event, yaml.ScalarEvent) and event.anchor:
            sizes[event.anchor] = 1
        values += isinstance(event, yaml.NodeEvent)
        if values > most_values:
            refuse(event, f"more than {most_values:,} values, with those that aliases repeat; write fewer")
        yield event
