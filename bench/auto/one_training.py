"""One training whose settings were not typed: what the rules choose for this machine, and how that is announced.

Study S4 trained so, `python train.py` without an argument. A flag may also say `auto`, or `auto:RULE`, to have its own
value chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ampbench.bench.auto.policies import RULES, STUDY, choose, rule_of
from ampbench.bench.machine.hardware import Hardware
from ampbench.bench.machine.report import one_line
from ampbench.bench.plan.data_place import state_of
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.flags import flags
from ampbench.bench.plan.source import check_data
from ampbench.schema.choices import Choice

AUTO = "auto"

TRAINER = {
    "data": "cifar10",
    "epochs": "50",
    "optimizer": "nesterov",
    "weight_decay": "1e-4",
    "label_smoothing": "0.1",
    "grad_clip": "1.0",
    "schedule": "stable",
    "augment": "crop,flip,erasing:p=.25",
    "keep_best": True,
}
"""S4's trainer, as flags: what it did on every machine. Its milestones, 30 and 45, belong to 50 epochs."""

NUM_PARAMETERS = {"SmallCifarNet": 1_147_914, "PowerCifarNet_x1_5": 10_916_266, "PowerCifarNet_x2_5": 30_307_690}
"""Of the networks that a rule chooses, with 10 classes."""

WORDS = {
    "gpus": "GPUs",
    "model": "model",
    "batch_size": "batch",
    "learning_rate": "rate",
    "precision": "precision",
    "num_workers": "workers",
}
"""Field -> how an announcement heads it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OneTraining:
    """A training as flags, complete, and where each value is from."""

    typed: Mapping[str, Any]
    """Field -> value, as if it had been typed; without the precision."""
    precision: str
    choices: tuple[Choice, ...]
    lines: tuple[str, ...]
    """What to tell before it begins."""


def wanted_rules(typed: Mapping[str, Any]) -> dict[str, str | None]:
    """Return field -> the rule that its flag names, of the flags that say `auto` or `auto:RULE`.

    Raises:
        RequestError: nothing chooses such a field, or there is no such rule.
    """
    found: dict[str, str | None] = {}
    for name, value in typed.items():
        word, colon, rule = value.partition(":") if isinstance(value, str) else ("", "", "")
        if word == AUTO and (name in RULES or not colon):
            found[name] = rule if colon else None
            try:
                rule_of(name, found[name])
            except RequestError as e:
                raise RequestError(f"{_flag(name)} {value}: {e}") from None
    return found


def _flag(name: str) -> str:
    return flags()[name].words[-1] if name in flags() else f"--{name}"


def chosen_training(hardware: Hardware, typed: Mapping[str, Any], precision: str | None) -> OneTraining:
    """Choose all that was not typed.

    Args:
        hardware: of this machine.
        typed: field -> what was typed, only of the flags that were; `auto` names a rule.
        precision: the recipe's name if one was given, or `auto`.

    Raises:
        RequestError: no such rule or data.
    """
    asked = {**typed, **({"precision": precision} if precision else {})}
    named = wanted_rules(asked)
    given = {name: value for name, value in asked.items() if name not in named}
    trainer = TRAINER | ({"augment": "none"} if given.get("data") == "digits" else {})  # a mirrored 2 is no digit
    context = {**trainer, **given}
    check_data(str(context["data"]))
    own = {name: value for name, value in given.items() if name in RULES}
    choices = choose(hardware, own, context=context, named=named)
    lines = [f"[hardware]  {one_line(hardware)}", *_hardware_lines(hardware)]
    lines += [f"[data]      {context['data']} {state_of(str(context['data']))}"]
    lines += map(_line, choices)
    told = [f"{name} {context[name]}" for name in trainer if name not in given and name not in ("data", "keep_best")]
    lines += [f"[training]  {', '.join(told)} ({STUDY})"] if told else []
    lines += ["Any flag that you give wins; --disable-auto takes study S3's defaults instead."]
    return _training(context, choices, lines)


def with_chosen(hardware: Hardware, typed: Mapping[str, Any], precision: str) -> OneTraining:
    """Choose only the values whose flags say `auto`.

    Args:
        hardware: of this machine.
        typed: field -> value, of everything that is not a field's default.
        precision: the recipe's name, or `auto`.

    Raises:
        RequestError: no such rule.
    """
    context = {**typed, "precision": precision}
    named = wanted_rules(context)
    context = {name: value for name, value in context.items() if name not in named}
    defaults = {"optimizer": "sgd"}
    choices = choose(hardware, {}, context=defaults | context, named=named, fields=named) if named else ()
    lines = [f"[hardware]  {one_line(hardware)}", *map(_line, choices)] if choices else []
    return _training(context, choices, lines)


def _training(context: Mapping[str, Any], choices: tuple[Choice, ...], lines: list[str]) -> OneTraining:
    """Put typed and chosen values together; a choice of nothing leaves the field's default."""
    values = dict(context)
    values |= {one.field: _as_typed(one.value) for one in choices if one.value is not None}
    precision = str(values.pop("precision"))
    return OneTraining(typed=values, precision=precision, choices=choices, lines=tuple(lines))


def _as_typed(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value)


def _hardware_lines(hardware: Hardware) -> Iterator[str]:
    if hardware.no_gpu_because:
        yield f"[GPU]       none is used: {hardware.no_gpu_because}"
    for one in hardware.ignored:
        yield f"[GPU]       {one.gpu} is ignored: {one.because}"


def _line(choice: Choice) -> str:
    value = "none" if choice.value is None else str(choice.value)
    count = NUM_PARAMETERS.get(value) if choice.field == "model" else None
    size = "" if count is None else f", {count:,} parameters with 10 classes"
    source = f" ({choice.evidence})" if choice.evidence else ""
    return f"{f'[{WORDS[choice.field]}]':<11} {value}{size}: {choice.reason}{source}"
