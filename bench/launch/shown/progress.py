"""What a person sees while cells run: a live line a board on a terminal, plain lines in a log.

A redraw happens only when a worker speaks, at most once a second: a spinner would compute beside the measurement.
Of more boards than a terminal has rows, those are shown whose cells began first, and the rest is counted; a log has as
many lines a minute from a thousand boards as from eight.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.duration import as_clock
from ampbench.bench.store.run import Run

LOG_EVERY_S = 30.0
"""Between two plain lines of the same cell."""

FULL_LOG = 8
"""Boards that may each write a plain line every `LOG_EVERY_S`; of more, each writes more rarely."""

REDRAWN_S = 0.25
"""Between two redraws when cells end; so many may end at a time that drawing would take a core."""

PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
"""Print a line as it is: a log that is wrapped at 80 columns cannot be searched."""

LOST = "lost"
"""The phase of a cell whose machine is gone: it will be started again, elsewhere."""

COLOURS = {"ok": "green", "unsupported": "yellow", "excluded": "yellow", "pruned": "yellow"}


class Progress:
    """Context that shows a matrix at work; a `Watcher` of a launcher.

    `introduced` holds the lines about machine, model and images that were shown; a command of several sweeps shares it.
    """

    def __init__(
        self,
        console: Console,
        *,
        num_cells: int,
        log_every_s: float = LOG_EVERY_S,
        introduced: set[str] | None = None,
    ) -> None:
        self.console = console
        self.num_cells = num_cells
        self.log_every_s = log_every_s
        self.num_ended = 0
        self._begun_s = time.monotonic()
        self._shown_s = 0.0
        self._facts: dict[Board, dict[str, Any]] = {}
        self._introduced = set() if introduced is None else introduced
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def started(self, run: Run) -> None:
        """Show the cell on its board's line."""
        self._facts[run.board] = {"run": run, "phase": "start", "begun_s": time.monotonic(), "logged_s": None}
        self._refresh()

    def told(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Show a phase or a speed."""
        if facts.get("phase") == LOST:
            self._facts.pop(run.board, None)
            return
        line = self._facts[run.board]
        line |= facts
        about = facts.get("about")
        if about and about not in self._introduced:  # the same for every recipe of a model
            self._introduced.add(about)
            self.console.print(about, **PLAIN)
        if facts.get("phase") == "waiting":
            self.console.print(f"{run.cell}: waiting for {run.board}, held by {facts['holder']}", **PLAIN)
        elif (
            not self._live
            and facts.keys() & {"images_per_s", "loss", "evaluated_share"}
            and facts.get("phase") != "done"
        ):
            now = time.monotonic()
            every_s = self.log_every_s * max(1.0, len(self._facts) / FULL_LOG)
            if line["logged_s"] is None or now - line["logged_s"] >= every_s:
                line["logged_s"] = now
                self.console.print(f"        {', '.join(_lines(line))}", **PLAIN)
        self._refresh()

    def ended(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Print a line that stays."""
        self.num_ended += 1
        self._facts.pop(run.board, None)
        status = str(facts.get("status", "ok"))
        text = Text(f"{self.num_ended:>{max(4, len(str(self.num_cells)))}}/{self.num_cells} {run.cell!s:<34} ")
        text.append(f"{status:<12}", style=COLOURS.get(status, "red"))
        text.append(" ".join(_numbers(facts)) if status == "ok" else str(facts.get("because")))
        if facts.get("learning_note"):
            text.append(f"  {facts['learning_note']}", style="yellow")
        if run.board.host:
            text.append(f"  on {run.board.host}", style="dim")
        self.console.print(text, **PLAIN)
        self._refresh(force=True)

    def _refresh(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._live and now - self._shown_s >= (REDRAWN_S if force else 1):
            self._shown_s = now
            self._live.update(Group(*self._rows(), self._total()), refresh=True)

    def _rows(self) -> list[Text]:
        """Return the rows of every board, what has to be folded below its beginning; or only as many as there is room.

        The last row of the terminal stays free, and the one above it is the total.
        """
        room = max(2, self.console.height - 2)
        shown = [_lines(line) for line in itertools.islice(self._facts.values(), room)]
        if len(shown) == len(self._facts):
            rows = [row for first, *rest in shown for row in (first, *(f"    {more}" for more in rest))]
            if sum(math.ceil(cell_len(row) / self.console.width) for row in rows) <= room:
                return [Text(row) for row in rows]
        heads = [Text(head, no_wrap=True, overflow="ellipsis") for head, *_ in shown]
        if len(self._facts) <= room:
            return heads
        phases = Counter(line["phase"] for line in itertools.islice(self._facts.values(), room - 1, None))
        counted = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
        rest = f"and {phases.total()} cells more: {counted}"
        return [*heads[: room - 1], Text(rest, no_wrap=True, overflow="ellipsis")]

    def _total(self) -> Text:
        passed_s = time.monotonic() - self._begun_s
        text = f"{self.num_ended} of {self.num_cells} cells, {as_clock(passed_s)}"
        if self.num_ended:
            text += f", about {as_clock(passed_s / self.num_ended * (self.num_cells - self.num_ended))} to go"
        return Text(text, style="bold")


def _lines(facts: Mapping[str, Any]) -> list[str]:
    """Return what is known of a cell at work: where it is, and below that what it told last."""
    run = facts["run"]
    head = [f"{run.board}:", str(run.cell), facts["phase"]]
    if facts["phase"] == "evaluation":
        share = facts["evaluated_share"]
        return [" ".join([*head, f"{_bar(share)} {share:.0%} of the test set, epoch {facts.get('epoch', 1)}"])]
    if facts.get("share"):
        share, passed_s = facts["share"], time.monotonic() - facts["begun_s"]
        head.append(f"{_bar(share)} {as_clock(passed_s / share * (1 - share))} left")
    told = _learning(facts) if facts.get("loss") is not None else []
    numbers = _numbers(facts)
    return [" ".join(head), *([", ".join([*told, *(number.strip() for number in numbers)])] if told or numbers else [])]


def _bar(share: float) -> str:
    return f"[{('#' * round(20 * share)).ljust(20, '.')}]"


def _learning(facts: Mapping[str, Any]) -> list[str]:
    """Say what the last block that is known of a training told: epoch and batch, loss, accuracy, learning rate."""
    cell, seen, correct = facts["run"].cell, facts.get("num_seen"), facts.get("num_correct")
    parts = []
    if cell.epochs:
        batch = f" batch {math.ceil(seen / cell.batch_size)}/{facts.get('num_batches', '?')}" if seen else ""
        parts.append(f"epoch {facts['epoch']}/{cell.epochs}{batch}")
    parts.append(f"loss {facts['loss']:{'.4f' if facts['loss'] < 1000 else '.3g'}}")
    if seen and correct is not None:
        parts.append(f"accuracy {correct / seen:.1%} ({correct}/{seen})")
    if facts.get("learning_rate") is not None:
        parts.append(f"rate {facts['learning_rate']:.3g}")
    return parts


def _numbers(facts: Mapping[str, Any]) -> list[str]:
    parts = []
    if facts.get("images_per_s") is not None:
        parts.append(f"{facts['images_per_s']:>9,.0f} images/s")
    memory = facts.get("steady_peak_bytes") or facts.get("memory_bytes")
    if memory:
        parts.append(f"{memory / 2**20:>6,.0f} MiB")
    if facts.get("test_accuracy") is not None:
        parts.append(f"{facts['test_accuracy']:>6.1%}")
    if facts.get("cell_s") is not None:
        parts.append(f"{facts['cell_s']:>6.1f} s")
    return parts
