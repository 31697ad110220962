"""What a reader wants of an answer: `--want memory --max-memory 24GiB --margin 0.5`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ampbench.schema.margins import MARGIN_POINTS
from ampbench.schema.sizes import bytes_of
from ampbench.visualize.judge.phrases import memory_words
from ampbench.visualize.read.files import ResultsError

Want = Literal["speed", "memory", "energy", "time-to-accuracy"]
WANTS: tuple[Want, ...] = get_args(Want)

MOST_POINTS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Wishes:
    """What the answer chooses by."""

    want: Want = "speed"
    max_memory_bytes: int | None = None
    """No recipe and batch size that needs more is advised."""
    margin_points: float = MARGIN_POINTS
    """Loss of test accuracy, in points, that is acceptable."""
    epochs: int | None = None
    """Of the training that the reader has in mind; None for those of the plan, or of a usual training."""

    @property
    def flags(self) -> list[str]:
        """As they are typed; none of those that every reader has."""
        usual = Wishes()
        said = {
            f"--want {self.want}": self.want != usual.want,
            f"--max-memory {memory_words(self.max_memory_bytes or 0).replace(' ', '')}": self.max_memory_bytes
            is not None,
            f"--margin {self.margin_points:g}": self.margin_points != usual.margin_points,
            f"--epochs {self.epochs}": self.epochs is not None,
        }
        return [flag for flag, is_said in said.items() if is_said]


def wishes_of(want: str, max_memory: str | None, margin: float, epochs: int | None = None) -> Wishes:
    """Return the wishes of a command line.

    Raises:
        ResultsError: a value has another form, or cannot be wished for.
    """
    known = next((one for one in WANTS if one == want), None)
    if known is None:
        raise ResultsError(f"--want {want}: choose one of {', '.join(WANTS)}")
    if not 0 < margin < MOST_POINTS:  # also refuses NaN
        raise ResultsError(f"--margin {margin:g}: takes points of test accuracy above 0 and below 100, as in 0.3")
    most = None if max_memory is None else parse_bytes(max_memory)
    return Wishes(want=known, max_memory_bytes=most, margin_points=margin, epochs=epochs)


def parse_bytes(text: str) -> int:
    """Read a size such as `24GiB`, `16 GB` or `800MiB`; a number alone is in bytes.

    Raises:
        ResultsError: the text has another form, or is 0.
    """
    size = bytes_of(text)
    if size is None:
        raise ResultsError(f"--max-memory {text}: write a size with its unit, as in 24GiB, 16GB or 800MiB")
    return size
