"""Several watchers as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ampbench.bench.launch.launcher import Watcher
from ampbench.bench.store.run import Run


class Watchers:
    """Tells each watcher in turn what it is told; a `Watcher` itself."""

    def __init__(self, *watchers: Watcher) -> None:
        self.watchers = watchers

    def started(self, run: Run) -> None:
        """Tell of a start."""
        for watcher in self.watchers:
            watcher.started(run)

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Tell of a report."""
        for watcher in self.watchers:
            watcher.told(run, facts)

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Tell of an end."""
        for watcher in self.watchers:
            watcher.ended(run, facts)
