"""The answers of a search for a batch size as choices: the value, why it is that, and on what it rests."""

from __future__ import annotations

from collections.abc import Iterable

from ampbench.bench.auto.batch_search import BatchSearch
from ampbench.bench.auto.knee import knee
from ampbench.bench.auto.largest_batch import Bracket, on_grid
from ampbench.bench.auto.sizes_tried import SizesTried, how_it_ended
from ampbench.bench.auto.trials import Trials
from ampbench.bench.plan.words import gib
from ampbench.schema.choices import Choice

LARGEST = "largest_batch_size"
"""The field of a choice that says what would fit, beside the batch size that is used."""


def knee_choice(tried: SizesTried, search: BatchSearch) -> Choice:
    """Return the smallest batch size that is about as fast as any that was tried; None if one alone was tried."""
    is_open = has_open_knee(tried, search)
    value = None if tried.why_never or (is_open and len(tried.speeds) < 2) else knee(tried.speeds)
    if value is not None:
        reason = _why_knee(tried, value) + "; then the time was over" * is_open
    elif is_open and any(tried.fits.values()):
        reason = f"the time was over after one trial, at {_sizes(list(tried.trials))}"
    else:
        reason = why_none(tried)
    return Choice(
        field="batch_size",
        value=value,
        reason=reason,
        evidence=_evidence(tried, search.trials),
        by="measurement",
        subject=tried.cell.precision.name,
    )


def has_open_knee(tried: SizesTried, search: BatchSearch) -> bool:
    """Whether further trials would tell more of the knee: their time was over before."""
    return tried.why_never is None and search.next_size("knee", tried) is not None


def largest_choice(tried: SizesTried, search: BatchSearch, *, field: str = LARGEST) -> Choice:
    """Return the largest batch size that fits: as tried if the search has ended, else as predicted."""
    known, guess = Bracket.of(tried.fits), None
    if tried.why_never is None and search.next_size("max", tried) is not None:
        guess = search.guess(tried)
    predicted = guess is not None and guess > known.fits and (known.fails is None or guess < known.fails)
    if predicted and guess is not None:
        value: int | None = on_grid(guess) if guess < tried.ceiling else tried.ceiling
        reason = f"predicted from the memory of an image; {known.fits:,} was tried and fits"
    else:
        value = known.fits or None
        reason = why_none(tried) if value is None else _why_largest(tried, known, search)
    return Choice(
        field=field,
        value=value,
        reason=reason,
        evidence=_evidence(tried, search.trials),
        by="prediction" if predicted else "measurement",
        subject=tried.cell.precision.name,
    )


def why_none(tried: SizesTried) -> str:
    """Say why a recipe has no batch size."""
    return tried.why_never or (tried.why_none if tried.trials else "the time was over before the first trial")


def whys(choices: Iterable[Choice]) -> str:
    """Return the reasons of several choices, each once, behind the names that it holds for."""
    whose: dict[str, list[str]] = {}
    for choice in choices:
        whose.setdefault(choice.reason, []).append(choice.subject)
    return "; ".join(f"{' and '.join(names)}: {reason}" for reason, names in whose.items())


def _why_knee(tried: SizesTried, value: int) -> str:
    known = {size: speed for size, speed in tried.speeds.items() if speed is not None}
    best = max(known, key=lambda size: (known[size], -size))
    share = known[value] / known[best]
    if known.keys() == {tried.ceiling}:
        reason = "all training images"
    elif best == value:
        reason = f"the fastest of {_sizes(list(known))}"
    elif best > value:
        reason = f"{share:.0%} of the best images/s; {best:,} gives {1 / share - 1:.0%} more"
    else:
        reason = f"{share:.0%} of the best images/s, which {best:,} has"
    wall = next((size for size, trial in tried.trials.items() if not trial.fits and size > value), None)
    return f"{reason}; {wall:,} {how_it_ended(tried.trials[wall])}" if wall else reason


def _why_largest(tried: SizesTried, known: Bracket, search: BatchSearch) -> str:
    limit = search.limit
    within = f"fits in {gib(limit.trial_bytes)} ({limit.because}, less a margin)" if limit else "fits"
    if known.fails is None:
        end = "all training images" if known.fits >= tried.ceiling else "larger ones were not tried"
        return f"{within}; {end}"
    guess = search.guesses.get(search.key(tried))
    predicted = f"; {guess:,} was predicted" if guess is not None else ""
    return f"{within}; {known.fails:,} {how_it_ended(tried.trials[known.fails])}{predicted}"


def _evidence(tried: SizesTried, trials: Trials) -> str:
    return f"trials at {_sizes(list(tried.trials))}: {trials.command}" if tried.trials else ""


def _sizes(sizes: list[int]) -> str:
    return ", ".join(f"{size:,}" for size in sorted(sizes))
