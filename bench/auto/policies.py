"""Study S4's rules, each under a name: model, batch size, learning rate, precision and workers from the hardware alone.

A rule measures nothing. It is a first guess that costs no second; what a measurement finds (`advise`) is worth more.
What a person gave always wins, and a rule reads it: the learning rate follows the batch size that was typed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ampbench.bench.machine.hardware import Hardware
from ampbench.bench.machine.report import TIERS
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.schema.choices import Choice, Value

STUDY = "study S4"

MODELS = {"large": "PowerCifarNet_x2_5", "middle": "PowerCifarNet_x1_5", "small": "SmallCifarNet"}
"""Tier of the machine -> the network that S4 trained there."""

STEPS_GB = ((60, 512, 16), (40, 384, 12), (20, 256, 8), (0, 128, 4))
"""GB of GPU memory in all, from which on: images a step on all GPUs together, and processes that load them."""

MOST_WORKERS = 16
IMAGES_PER_WORKER = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What a rule may look at."""

    hardware: Hardware
    decided: Mapping[str, Any] = field(default_factory=dict)
    """Field -> value, of what a person gave and of the rules before; a value may be text, as it was typed."""

    def number(self, name: str, default: int) -> int:
        """Return a whole number that was decided; `default` where none was, or what was typed is none."""
        try:
            return int(self.decided.get(name, default))
        except (TypeError, ValueError):  # the field's own check says so later, in better words
            return default


Policy = Callable[[Situation], Choice]


def all_alike(now: Situation) -> Choice:
    """All boards of the most common model train together, as in S4; a CPU is one board."""
    num = max(1, len(now.hardware.gpus))
    why = f"all {num} of {now.hardware.gpus[0].name}" if num > 1 else "one board"
    return _rule("gpus", num, why)


def by_tier(now: Situation) -> Choice:
    """S4's network for a machine of this tier."""
    tier = now.hardware.tier
    return _rule("model", MODELS[tier], f"{TIERS[tier]}: the {tier} tier")


def batch_by_memory(now: Situation) -> Choice:
    """512, 384, 256 or 128 images a step by the GPUs' memory, divided among those that train together."""
    num, (least, images, _) = max(1, now.number("gpus", 1)), _step(now)
    why = f"{images} images a step for {_memory_words(now, least)}"
    if num > 1:
        why += f", on {num} GPUs together"
    return _rule("batch_size", max(1, images // num), why)


def square_root(now: Situation) -> Choice:
    """0.1 * sqrt(batch / 128) for SGD, of all GPUs' images; Adam's own 0.001 (Kingma and Ba, 2015, arXiv 1412.6980)."""
    optimizer = str(now.decided.get("optimizer", "nesterov"))
    if optimizer in ("adam", "adamw"):
        return _rule("learning_rate", 0.001, f"{optimizer}'s default; S4's rule is one of SGD", "arXiv 1412.6980")
    images = now.number("batch_size", 128) * now.number("gpus", 1)
    rate = float(f"{0.1 * math.sqrt(max(1, images) / 128):.4g}")
    return _rule("learning_rate", rate, f"0.1 * sqrt({images} / 128)")


def fast_16_bit(now: Situation) -> Choice:
    """Autocast by itself where 16 bit is fast: bf16 before fp16, for bf16 needs no loss scale."""
    if now.hardware.gpus:
        gpu, can = now.hardware.gpus[0], now.hardware.gpus[0].abilities
        if gpu.capability is None:
            return _rule("precision", "fp32", f"the compute capability of {gpu.name} is not known")
        known = ".".join(map(str, gpu.capability))
        where = f"the tensor cores of {gpu.name} (compute capability {known})"
        if "bf16" in can:
            return _rule("precision", "bf16_amp", f"{where} multiply bf16, which needs no loss scale")
        if "fp16" in can:
            return _rule("precision", "fp16_amp_scaled", f"{where} multiply fp16 but no bf16; it needs a loss scale")
        return _rule("precision", "fp32", f"{gpu.name} (compute capability {known}) has no tensor cores for 16 bit")
    cpu = now.hardware.cpu
    if cpu.is_fast_in("bf16"):
        because = cpu.of("bf16")[0].because
        return _rule("precision", "bf16_amp", f"the CPU multiplies {cpu.words_for('bf16')}", because)
    return _rule("precision", "fp32", f"no 16-bit type is known to be fast on this CPU: {cpu.words_for('bf16')}")


def fp16_on_gpu(now: Situation) -> Choice:
    """S4's own: fp16 autocast with a dynamic loss scale on every GPU, fp32 on a CPU."""
    if now.hardware.gpus:
        return _rule("precision", "fp16_amp_scaled", "autocast to fp16 with a loss scale on every GPU")
    return _rule("precision", "fp32", "no autocast without a GPU")


def workers_by_batch(now: Situation) -> Choice:
    """min(batch / 32, cores, 16), of the cores that one of the GPUs has; none where the images are on the device."""
    if _on_device(now):
        return _no_workers()
    batch, cores = now.number("batch_size", 128), _cores_each(now)
    workers = max(1, min(batch // IMAGES_PER_WORKER, cores, MOST_WORKERS))
    return _rule("num_workers", workers, f"the least of batch size / 32 = {batch // 32}, {cores} cores, and 16")


def workers_by_memory(now: Situation) -> Choice:
    """16, 12, 8 or 4 by the GPUs' memory, but no more than cores; none where the images are on the device."""
    if _on_device(now):
        return _no_workers()
    least, _, workers = _step(now)
    cores = _cores_each(now)
    capped = f", and no more than {cores} cores" if workers > cores else ""
    return _rule("num_workers", min(workers, cores), f"{workers} for {_memory_words(now, least)}{capped}")


RULES: dict[str, dict[str, Policy]] = {
    "gpus": {"all": all_alike},
    "model": {"tier": by_tier},
    "batch_size": {"memory": batch_by_memory},
    "learning_rate": {"sqrt": square_root},
    "precision": {"fast": fast_16_bit, "study": fp16_on_gpu},
    "num_workers": {"batch": workers_by_batch, "memory": workers_by_memory},
}
"""Field -> its rules by name, the first is the usual one; in the order in which a rule may need another's value."""


def choose(
    hardware: Hardware,
    given: Mapping[str, Any],
    *,
    context: Mapping[str, Any] | None = None,
    named: Mapping[str, str | None] | None = None,
    fields: Collection[str] = (),
) -> tuple[Choice, ...]:
    """Return a choice for each field of `RULES`, in that order.

    Args:
        hardware: of this machine.
        given: field -> value that a person gave; it wins over every rule.
        context: values that are no choice and that rules read, such as `optimizer` and `loader`.
        named: field -> the name of the rule to use, where it is not the usual one.
        fields: the only fields to choose; all where it is empty.

    Raises:
        RequestError: a field has no such rule.
    """
    names, choices = named or {}, []
    decided = {**(context or {}), **given}
    for name in RULES:
        if fields and name not in fields:
            continue
        if name in given:
            choices.append(Choice(field=name, value=given[name], reason="given", by="user"))
            continue
        choice = rule_of(name, names.get(name))(Situation(hardware=hardware, decided=decided))
        choices.append(choice)
        if choice.value is not None:
            decided[name] = choice.value
    return tuple(choices)


def rule_of(name: str, rule: str | None) -> Policy:
    """Return a rule of a field by its name, the usual one without.

    Raises:
        RequestError: the field has no such rule, or none at all.
    """
    if name not in RULES:
        raise RequestError(f"no rule chooses it; give a value. Rules choose: {', '.join(RULES)}")
    rules = RULES[name]
    if rule is None:
        return next(iter(rules.values()))
    if rule not in rules:
        raise RequestError(f"no rule {rule!r}. {did_you_mean(rule, rules)}")
    return rules[rule]


def _rule(name: str, value: Value, reason: str, evidence: str = STUDY) -> Choice:
    return Choice(field=name, value=value, reason=reason, evidence=evidence, by="rule")


def _step(now: Situation) -> tuple[int, int, int]:
    return next(step for step in STEPS_GB if now.hardware.gpu_memory_gb >= step[0])


def _memory_words(now: Situation, least_gb: int) -> str:
    if not now.hardware.gpus:
        return "a machine without a GPU"
    return f"{now.hardware.gpu_memory_gb:.0f} GB of GPU memory, {f'{least_gb} or more' if least_gb else 'less than 20'}"


def _cores_each(now: Situation) -> int:
    """Return the cores for the loader of one GPU: the loaders of several share the machine."""
    return max(1, now.hardware.usable_cores // max(1, now.number("gpus", 1)))


def _on_device(now: Situation) -> bool:
    return str(now.decided.get("loader", "device")) == "device"


def _no_workers() -> Choice:
    why = "the images stay on the device, which needs none; --loader dataloader asks for some"
    return Choice(field="num_workers", value=None, reason=why, by="rule", evidence="the field loader")
