"""How every figure looks: one colour, marker, dash and hatch per recipe, the same everywhere.

The colours show the kind of recipe: neutral for fp32 and TF32, warm for fp16, cool for bf16. Any two can be told apart
with every kind of colour vision (Machado, Oliveira & Fernandes, 2009, severity 1), and each has a contrast of 3 or more
with white. Hatch, marker and dashes repeat the information, for prints in grey and for those who see no colour.
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
    """Of bars: none for pure 16 and 32 bits, strokes for autocast, the other way for a loss scale, crosses for both."""

    @property
    def linestyle(self) -> tuple[float, tuple[float, ...]]:
        """As matplotlib takes it."""
        return (0, self.dashes)


AMP, SCALED = (5.0, 1.6), (1.2, 1.2)
STROKES, BACK, CROSSES, DOTS = "\\\\\\", "///", "xxx", ".."

BUILT_IN: dict[str, Style] = {
    "fp32": Style(colour="#1a1a1a", marker="o"),
    "tf32": Style(colour="#656d76", marker="s"),
    "fp16": Style(colour="#e8590c", marker="^"),
    "bf16": Style(colour="#005fb0", marker="v"),
    "fp16_scaled": Style(colour="#7d4e00", marker="<", dashes=SCALED, hatch=BACK),
    "fp16_amp": Style(colour="#e066ac", marker="D", dashes=AMP, hatch=STROKES),
    "fp16_amp_scaled": Style(colour="#8c1d53", marker="P", dashes=SCALED, hatch=CROSSES),
    "bf16_amp": Style(colour="#009e73", marker="X", dashes=AMP, hatch=STROKES),
    "bf16_amp_scaled": Style(colour="#7c6be0", marker=">", dashes=SCALED, hatch=CROSSES),
    "fp8": Style(colour="#5c1a00", marker="p", dashes=AMP, hatch=DOTS),
}
"""The built-in recipes."""

FURTHER = (
    Style(colour="#332288", marker="h", dashes=(7, 1.5, 1.5, 1.5), hatch=DOTS),
    Style(colour="#999933", marker="d", dashes=(7, 1.5, 1.5, 1.5), hatch=DOTS),
    Style(colour="#aa4499", marker="*", dashes=(7, 1.5, 1.5, 1.5), hatch=DOTS),
    Style(colour="#117733", marker="8", dashes=(7, 1.5, 1.5, 1.5), hatch=DOTS),
    Style(colour="#6699cc", marker="H", dashes=(7, 1.5, 1.5, 1.5), hatch=DOTS),
)
"""For recipes that an experiment adds, in the order of their names."""

INK, MUTED = "#222222", "#5f5f5f"
"""Colours of text, and of notes and cells without a measurement."""
SMALL = 8.5
"""Size in points of notes and of numbers beside bars; at half of a page they are still read."""
BASE = "seaborn-v0_8-whitegrid"
"""Seaborn's look as matplotlib ships it: seaborn itself takes one or two seconds to import."""
DEEP = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c", "#ccb974", "#64b5cd")
"""Seaborn's colours, for lines that are no recipe's."""
LOOK = {
    "axes.edgecolor": "#b8b8b8",
    "axes.labelcolor": INK,
    "axes.labelsize": 10.5,
    "axes.linewidth": 1.25,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.dpi": 100,
    "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
    "font.size": 12,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.9,
    "image.cmap": "viridis",
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.title_fontsize": 12,
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "ampbench",
    **{f"{axis}tick.labelsize": 9.5 for axis in "xy"},
    **{f"{axis}tick.major.{name}": value for axis in "xy" for name, value in (("size", 6), ("width", 1.25))},
    **{f"{axis}tick.minor.{name}": value for axis in "xy" for name, value in (("size", 4), ("width", 1))},
    "xtick.bottom": False,
    "ytick.left": False,
}
"""What is ours beyond that, beside the colours."""


def styles(recipes: Iterable[str]) -> dict[str, Style]:
    """Return the style of each recipe, in their order. A sixth added recipe has the style of the first added one."""
    names = in_order(recipes)
    further = [name for name in names if name not in BUILT_IN]
    return {name: BUILT_IN.get(name) or FURTHER[further.index(name) % len(FURTHER)] for name in names}


def styles_of(results: Results) -> dict[str, Style]:
    """Return the style of every recipe in the folder, so that a selection of cells keeps its colours."""
    return styles(results.cells["recipe"].cat.categories)


def ink_on(colour: tuple[float, float, float] | tuple[float, float, float, float]) -> str:
    """Return black or white, whichever has the higher contrast with a colour (WCAG 2.2, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if (luminance + 0.05) ** 2 > 0.05 * 1.05 else "#ffffff"


def use() -> None:
    """Set the style of all figures drawn from now on; their background is white also where the page is dark."""
    import matplotlib.style  # here: tables do not need it
    from cycler import cycler

    matplotlib.style.use([BASE, LOOK | {"axes.prop_cycle": cycler(color=DEEP)}])
