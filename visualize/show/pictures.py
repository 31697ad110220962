"""The figures of a report: which kinds there are for what was measured, and each as a PNG of one subject."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ampbench.visualize.read.frame import Results

DPI = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A figure of the page; without `png` there was nothing to draw, and `words` say why."""

    stem: str
    title: str
    caption: str
    words: str
    """The figure for those who do not see it."""
    png: bytes

    @property
    def source(self) -> str:
        """As an address that holds the picture itself."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def draw(results: Results) -> list[Picture]:
    """Draw every figure of every subject."""
    import matplotlib.pyplot as plt

    from ampbench.visualize import figures
    from ampbench.visualize.figures import (
        accuracy,
        batch_sizes,
        exponents,
        loss,
        loss_scale,
        lost_updates,
        memory,
        memory_diff,
        memory_timeline,
        phases,
        theme,
        throughput,
        underflow,
    )

    theme.use()
    sized, looked = {"by_batch_size": True}, {"by_batch_size": True, "by_recipe": True}
    kinds: list[tuple[str, str, figures.Draw, Callable[[Results], str], dict[str, bool]]] = [
        ("throughput", throughput.CAPTION, figures.draw_throughput, figures.describe_throughput, {}),
        ("accuracy", accuracy.CAPTION, figures.draw_accuracy, figures.describe_accuracy, sized),
        ("loss", loss.CAPTION, figures.draw_loss, figures.describe_loss, sized),
        ("memory", memory.CAPTION, figures.draw_memory, figures.describe_memory, {}),
    ]
    trained = results.ok[results.ok["epochs"] > 0]
    if (trained.groupby("subject", observed=True)["batch_size"].nunique() > 1).any():
        for column in ("test_accuracy", "train_loss", "learning_rate"):
            by_size = partial(figures.draw_batch_sizes, column=column)
            in_words = partial(figures.describe_batch_sizes, column=column)
            name = f"{results.label(column, '')} by batch size"
            kinds.append((name, batch_sizes.CAPTION, by_size, in_words, {"by_recipe": True}))
    if "final_loss_scale" in results.ok and results.ok["final_loss_scale"].notna().any():
        kinds.append(("loss scale", loss_scale.CAPTION, figures.draw_loss_scale, figures.describe_loss_scale, sized))
    if not phases.phases(results).empty:
        kinds.append(("phases of a step", phases.CAPTION, figures.draw_phases, figures.describe_phases, sized))
    if len(results.load("memory")):
        line = (memory_timeline.CAPTION, figures.draw_memory_timeline, figures.describe_memory_timeline)
        kinds.append(("memory over steps", *line, sized))
    if len(results.load("allocations")):
        pair = (memory_diff.CAPTION, figures.draw_memory_diff, figures.describe_memory_diff)
        kinds.append(("memory at the peak", *pair, sized))
    if len(results.layers):
        kinds += [
            ("underflow", underflow.CAPTION, figures.draw_underflow, figures.describe_underflow, looked),
            ("exponents", exponents.CAPTION, figures.draw_exponents, figures.describe_exponents, looked),
            ("lost updates", lost_updates.CAPTION, figures.draw_lost_updates, figures.describe_lost_updates, sized),
        ]
    pictures, taken = [], set()
    for subject in results.subjects:
        own = results.where(subject=subject)
        suffix = "" if len(results.subjects) == 1 else f"-{_stem(subject, taken)}"
        for name, caption, draw_one, describe, panes in kinds:
            panels = figures.panels(own, **panes)
            drawn = {title: panel for title, panel in panels.items() if len(panel.ok)}
            fig = figures.sheet(draw_one, drawn or panels)
            blank = next((ax.texts[0].get_text() for ax in fig.axes if not ax.axison and ax.texts), "")
            empty = not any(ax.axison for ax in fig.axes)
            out = io.BytesIO()
            if not empty:
                fig.savefig(out, dpi=DPI)
            plt.close(fig)
            words = blank if empty else "; ".join(f"{title}: {describe(panel)}" for title, panel in panels.items())
            title = f"{name.capitalize()} of {subject}"
            stem = name.replace(" ", "_") + suffix
            pictures.append(Picture(stem=stem, title=title, caption=caption, words=words, png=out.getvalue()))
    return pictures


def _stem(subject: str, taken: set[str]) -> str:
    """Return a part of a file's name for a subject that no other has: two may differ in signs that no name holds."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "_", subject)[:120]
    names = itertools.chain([plain], (f"{plain}_{i}" for i in itertools.count(2)))
    found = next(name for name in names if name.lower() not in taken)
    taken.add(found.lower())
    return found
