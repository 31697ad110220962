"""What a training may do to its images, and how a cell says it: `flip`, `cutout:16`, `jitter:brightness=.1,hue=.1`.

A cell's list is in the order of acting, as in torchvision's `Compose`: its entries act one after another on the whole
batch, on the device. Pixels become a network's input once, between colour and erasing, so there are three stages:

    geometry   on pixels               crop, flip, rotation
    colour     on pixels               jitter
    erasing    in normalised images    cutout, erasing: what is erased is 0 there, the mean colour

Resizing is none of them, since evaluation needs it too: it is a field of its own, `Cell.resize`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator

from ampbench.bench.plan.errors import did_you_mean

Stage = Literal["geometry", "colour", "erasing"]

STAGES: tuple[Stage, ...] = ("geometry", "colour", "erasing")
"""In the order in which they follow each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A number that an augmentation takes."""

    default: float
    """Its value where the text does not name it."""
    most: float
    """A value that the text names is more than 0 and at most this."""
    whole: bool = False
    """Whether it is a whole number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """An augmentation that a cell may name."""

    stage: Stage
    settings: dict[str, Setting] = field(default_factory=dict)
    alone: str = ""
    """The settings of the name without any, where they are not the defaults."""


KINDS: dict[str, Kind] = {
    "crop": Kind(stage="geometry"),
    "flip": Kind(stage="geometry"),
    "rotation": Kind(stage="geometry", settings={"degrees": Setting(default=15, most=180)}),
    "jitter": Kind(
        stage="colour",
        settings={
            "brightness": Setting(default=0, most=1),
            "contrast": Setting(default=0, most=1),
            "saturation": Setting(default=0, most=1),
            "hue": Setting(default=0, most=0.5),
        },
        alone="brightness=0.2,contrast=0.2,saturation=0.2,hue=0.1",
    ),
    "cutout": Kind(stage="erasing", settings={"size": Setting(default=16, most=1024, whole=True)}),
    "erasing": Kind(
        stage="erasing",
        settings={
            "p": Setting(default=0.25, most=1),
            "min_area": Setting(default=0.02, most=1),
            "max_area": Setting(default=0.2, most=1),
        },
    ),
}
"""What a bare name does is taken from the studies: rotation and jitter from S1, cutout from S2, erasing from S4.

A strength of jitter that is not named is 0, as in torchvision's ColorJitter: S2's jitter is
`jitter:brightness=.1,contrast=.1,hue=.1`. Rotation is by up to so many degrees to either side, hue in turns of the
colour circle, a cutout's size in pixels, an area in shares of the image.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """One entry of a cell's list, in numbers."""

    name: str
    """A key of `KINDS`."""
    settings: dict[str, float]
    """Every setting of its kind."""

    @property
    def stage(self) -> Stage:
        """When it acts."""
        return KINDS[self.name].stage

    @classmethod
    def parse(cls, text: str) -> Augmentation:
        """Read `NAME` or `NAME:KEY=NUMBER,KEY=NUMBER`; the key of a lone setting may be left out, as in `cutout:16`.

        Raises:
            ValueError: an unknown name or setting, one that comes twice, is no number or out of its range.
        """
        name, colon, told = text.partition(":")
        if name == "resize":
            raise ValueError("evaluation needs too: write resize = 224 as a field of its own")
        if name in LEVELS:
            raise ValueError(
                f"is a whole list by itself: write augment = '{name}', or its entries {list(LEVELS[name])}"
            )
        if name not in KINDS:
            raise ValueError(f"is no augmentation. {did_you_mean(name, (*KINDS, *LEVELS))}")
        known = KINDS[name].settings
        given: dict[str, float] = {}
        told = told if colon else KINDS[name].alone
        for setting in told.split(",") if colon or told else ():
            key, equals, number = setting.strip().partition("=")
            if not equals and len(known) == 1:
                (key,), number = known, key
            if key not in known or key in given:
                what = "twice" if key in given else f"no setting of {name}"
                raise ValueError(f"names {key!r}, {what}; there {_are(list(known))}")
            given[key] = _number(key, number, known[key])
        values = {key: setting.default for key, setting in known.items()} | given
        if name == "erasing" and values["min_area"] > values["max_area"]:
            raise ValueError(
                f"erases at least {values['min_area']:g} and at most {values['max_area']:g} of an image; "
                "raise max_area or lower min_area"
            )
        return cls(name=name, settings=values)


def _are(names: list[str]) -> str:
    return f"are {', '.join(names)}" if len(names) > 1 else f"is {names[0]}" if names else "is none"


def _number(key: str, text: str, setting: Setting) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"sets {key} to {text!r}, which is no number; write {key}=NUMBER") from None
    if not 0 < value <= setting.most or (setting.whole and not value.is_integer()):
        kind = "a whole number, " if setting.whole else ""
        raise ValueError(f"sets {key} to {value:g}; it should be {kind}more than 0 and at most {setting.most:g}")
    return int(value) if setting.whole else value


def _checked(texts: tuple[str, ...]) -> tuple[str, ...]:
    stages: list[int] = []
    for text in texts:
        try:
            stages.append(STAGES.index(Augmentation.parse(text).stage))
        except ValueError as e:
            raise ValueError(f"holds {text!r}, which {e}") from None
    for (first, second), (before, after) in zip(itertools.pairwise(texts), itertools.pairwise(stages), strict=True):
        if before > after:
            raise ValueError(
                f"puts {second!r} after {first!r}, but {STAGES[after]} comes before {STAGES[before]}; swap them"
            )
    return texts


LEVELS: dict[str, tuple[str, ...]] = {
    "minimal": ("crop", "flip"),
    "balanced": ("crop", "flip", "erasing"),
    "heavy": ("flip", "rotation", "crop", "jitter", "erasing"),
}
"""Study S4's levels, which a cell may name instead of a list: `augment = "heavy"` is the same cell as the list.

What S4 describes of its augmentation, crop, flip and RandomErasing(p = .25), is its `balanced`. It does not say what
`minimal` and `heavy` are. Here `minimal` is what nearly every training of CIFAR does, and no more; `heavy` is all that
study S1 did, the strongest of the five, with S4's erasing after it."""


def _levelled(texts: object) -> object:
    """Return the list that a level stands for, named alone or as the only entry of a list; a list as it is."""
    if isinstance(texts, tuple):
        return LEVELS.get(texts[0], texts) if len(texts) == 1 else texts
    if isinstance(texts, str):
        if texts not in LEVELS:
            raise ValueError(f"is no level. {did_you_mean(texts, LEVELS)} Or write a list, as in ['flip']")
        return LEVELS[texts]
    return texts


AugmentTexts = Annotated[tuple[str, ...], AfterValidator(_checked), BeforeValidator(_levelled)]
