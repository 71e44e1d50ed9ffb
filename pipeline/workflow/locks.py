"""Semaphores and mutexes of one run."""

from __future__ import annotations

from collections.abc import Mapping


class Locks:
    """Who holds which lock. `limits` gives the places of each semaphore by `name/key`; one where it is not given.

    On a cluster the limit comes from a ConfigMap and is shared by all workflows of the namespace; here it is shared
    by the nodes of one run.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._holders: dict[str, set[str]] = {}

    def take(self, holder: str, names: tuple[str, ...]) -> str | None:
        """Give `holder` all locks, or none and the text that says which one is taken."""
        for name in names:
            holders = self._holders.setdefault(name, set())
            limit = self._limits.get(name, 1)
            if holder not in holders and len(holders) >= limit:
                return f"{name} lock. Lock status: {max(limit - len(holders), 0)}/{limit}"
        for name in names:
            self._holders[name].add(holder)
        return None

    def free(self, holder: str) -> None:
        """Give back all that `holder` holds."""
        for holders in self._holders.values():
            holders.discard(holder)
