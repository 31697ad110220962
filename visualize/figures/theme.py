"""How every figure looks: one colour, marker, dash and hatch per recipe, the same everywhere.

The colours show the kind of recipe: neutral for fp32 and TF32, warm for fp16, cool for bf16. They are those of
Okabe & Ito (2008, "Color Universal Design") and one dark red of Tol's, which can be distinguished with any colour
vision. Marker and dashes repeat the information for prints in grey.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.recipes import in_order


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """Colour, marker, dashes and hatch of a recipe."""

    colour: str
    marker: str
    dashes: tuple[float, ...] = ()
    """Lengths of line and gap in line widths; empty for a solid line."""
    hatch: str = ""
    """Of the bars of recipes with a loss scale."""

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...]]:
        """As matplotlib takes it."""
        return (0, self.dashes)


AMP, SCALED = (5.0, 1.6), (1.2, 1.2)

BUILT_IN: dict[str, Style] = {
    "fp32": Style(colour="#1a1a1a", marker="o"),
    "tf32": Style(colour="#8a8a8a", marker="s"),
    "fp16": Style(colour="#d55e00", marker="^"),
    "bf16": Style(colour="#0072b2", marker="v"),
    "fp16_scaled": Style(colour="#e69f00", marker="<", dashes=SCALED, hatch="///"),
    "fp16_amp": Style(colour="#cc79a7", marker="D", dashes=AMP),
    "fp16_amp_scaled": Style(colour="#882255", marker="P", dashes=SCALED, hatch="///"),
    "bf16_amp": Style(colour="#009e73", marker="X", dashes=AMP),
    "bf16_amp_scaled": Style(colour="#56b4e9", marker=">", dashes=SCALED, hatch="///"),
    "fp8": Style(colour="#661100", marker="p", dashes=AMP),
}
"""The built-in recipes."""

FURTHER = (
    Style(colour="#332288", marker="h", dashes=(7, 1.5, 1.5, 1.5)),
    Style(colour="#999933", marker="d", dashes=(7, 1.5, 1.5, 1.5)),
    Style(colour="#aa4499", marker="*", dashes=(7, 1.5, 1.5, 1.5)),
    Style(colour="#117733", marker="8", dashes=(7, 1.5, 1.5, 1.5)),
    Style(colour="#6699cc", marker="H", dashes=(7, 1.5, 1.5, 1.5)),
)
"""For recipes that an experiment adds, in the order of their names."""

MUTED = "#6b6b6b"
"""Colour of notes, and of cells without a measurement."""


def styles(recipes: Iterable[str]) -> dict[str, Style]:
    """Return the style of each recipe, in their order. A sixth added recipe has the style of the first added one."""
    names = in_order(recipes)
    further = [name for name in names if name not in BUILT_IN]
    return {name: BUILT_IN.get(name) or FURTHER[further.index(name) % len(FURTHER)] for name in names}


def styles_of(results: Results) -> dict[str, Style]:
    """Return the style of every recipe in the folder, so that a selection of cells keeps its colours."""
    return styles(results.cells["recipe"].cat.categories)


def use() -> None:
    """Set the style of all figures drawn from now on."""
    import seaborn  # here: it takes one or two seconds, and tables do not need it

    seaborn.set_theme(
        context="notebook",
        style="whitegrid",
        rc={
            "axes.edgecolor": "#b8b8b8",
            "axes.labelcolor": "#222222",
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "axes.titleweight": "bold",
            "figure.dpi": 100,
            "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.8,
            "hatch.linewidth": 0.8,
            "legend.frameon": False,
            "legend.fontsize": 9.5,
            "savefig.facecolor": "white",
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
        },
    )
