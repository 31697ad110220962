"""The loss scale of a recipe or a cell: `none`, `dynamic`, `dynamic:init=1024,interval=50` or `static:1024`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

DYNAMIC_DEFAULTS: dict[str, float] = {"init": 2.0**16, "growth": 2.0, "backoff": 0.5, "interval": 2000.0}
"""torch's GradScaler's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossScale:
    """How the loss is multiplied before backward, and the gradients divided before the update.

    A dynamic scale grows while nothing overflows and backs off when something does (Micikevicius et al., 2018,
    section 3.2; torch.amp.GradScaler, whose defaults are ours).
    """

    mode: Literal["none", "dynamic", "static"]
    factor: float = 1.0
    """The factor of the first step; a static scale keeps it."""
    growth: float = 2.0
    """A dynamic scale is multiplied by this after `interval` steps in a row without an overflow."""
    backoff: float = 0.5
    """A dynamic scale is multiplied by this when a step is skipped for an overflow."""
    interval: int = 2000
    """Steps."""

    @classmethod
    def parse(cls, text: str) -> LossScale:
        """Read `none`, `dynamic`, `dynamic:init=1024,growth=2,backoff=0.5,interval=50` or `static:N`.

        Raises:
            ValueError: another word; a static N that is no power of two from 1 to 2^15 (a power of two changes no
                mantissa bit, and 2^16 is already infinite in fp16); a dynamic setting that is no number, or lets
                the scale shrink where it should grow.
        """
        mode, colon, rest = text.partition(":")
        if text == "none":
            return cls(mode="none")
        if mode == "dynamic":
            return cls._dynamic(rest if colon else None)
        if mode != "static" or not re.fullmatch("[0-9]{1,9}", rest):
            raise ValueError(
                "is no loss scale: say 'none', 'dynamic', 'dynamic:init=1024,interval=50' or 'static:N', "
                "as in 'static:1024'"
            )
        factor = int(rest)
        if not 1 <= factor <= 2**15 or factor & (factor - 1):
            near = 2 ** min(15, max(0, round(math.log2(max(factor, 1)))))
            raise ValueError(
                f"is no power of two from 1 to 32768, and would round the gradients; the nearest is 'static:{near}'"
            )
        return cls(mode="static", factor=float(factor))

    @classmethod
    def _dynamic(cls, settings: str | None) -> LossScale:
        given: dict[str, float] = {}
        for setting in settings.split(",") if settings is not None else ():
            key, _, number = setting.strip().partition("=")
            if key not in DYNAMIC_DEFAULTS or key in given:
                what = "twice" if key in given else "no setting of a dynamic loss scale"
                raise ValueError(f"names {key!r}, {what}; there are {', '.join(DYNAMIC_DEFAULTS)}")
            try:
                given[key] = float(number)
            except ValueError:
                raise ValueError(f"sets {key} to {number!r}, which is no number; write {key}=NUMBER") from None
        values = DYNAMIC_DEFAULTS | given
        for key, good, rule in (
            (
                "init",
                1 <= values["init"] <= 2.0**24 and math.log2(values["init"]).is_integer(),
                "a power of two from 1 to 2^24",
            ),
            ("growth", 1 < values["growth"] <= 1024, "more than 1, or the scale would never rise (2 is usual)"),
            (
                "backoff",
                0 < values["backoff"] < 1,
                "between 0 and 1, or an overflow would repeat for ever (0.5 is usual)",
            ),
            (
                "interval",
                1 <= values["interval"] < 2**31 and values["interval"].is_integer(),
                "a whole number of steps from 1",
            ),
        ):
            if not good:
                raise ValueError(f"sets {key} to {values[key]:g}; it should be {rule}")
        return cls(
            mode="dynamic",
            factor=values["init"],
            growth=values["growth"],
            backoff=values["backoff"],
            interval=int(values["interval"]),
        )


def _loss_scale_text(text: str) -> str:
    LossScale.parse(text)
    return text


LossScaleText = Annotated[str, AfterValidator(_loss_scale_text)]
