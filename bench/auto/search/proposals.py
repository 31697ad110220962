"""What to try next, by Optuna: a function of the space, the seed and the trials so far, and of nothing else.

Optuna stores no random state of its samplers, so each proposal is made by a fresh sampler whose seed is that of the
search and the number of the trial. A search that was killed therefore goes on as if it had not been. The pitfalls were
tried with Optuna 5.0: trials that were at work at a kill stay RUNNING in its storage for ever, and a torn last line of
a journal breaks the next write; so the journal here is a copy that is written anew, and search.json is what counts.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import how_to_install
from ampbench.bench.plan.search import Range, Search
from ampbench.bench.store.atomic import replacing
from ampbench.schema.choices import Value

TRIES = 50
"""Of a proposal that was not tried yet: where few values are left, a sampler prefers to repeat good ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A trial as a sampler sees it."""

    values: Mapping[str, Value]
    value: float | None = None
    """The objective; None if it has none: it is at work, was pruned, or failed."""
    course: Mapping[int, float] = field(default_factory=dict)
    """Epoch -> the objective, as far as it is known."""
    is_running: bool = False


def propose(search: Search, tried: Sequence[Tried], number: int) -> dict[str, Value] | None:
    """Return the settings of the next trial; None if no untried one was found.

    A trial without a value counts as worse than any with one, so that a sampler keeps away from settings that diverge.

    Args:
        search: its space, sampler and seed.
        tried: the trials before it, those at work too.
        number: of this one, from 0.

    Raises:
        RequestError: Optuna is not installed.
    """
    known = [dict(one.values) for one in tried]
    if len(known) >= search.num_points:
        return None
    for attempt in range(TRIES):
        with _quiet() as optuna:
            study = optuna.create_study(direction=_direction(search), sampler=_sampler(optuna, search, number, attempt))
            study.add_trials([_frozen(optuna, search, one) for one in tried])
            said = study.ask(_distributions(optuna, search)).params
        values = {p.field: p.rounded(said[p.field]) if isinstance(p, Range) else said[p.field] for p in search.space}
        if values not in known:
            return values
    return None


def write_journal(path: Path, search: Search, studies: Mapping[str, Sequence[Tried]]) -> None:
    """Write the trials as Optuna's own storage, for optuna-dashboard and optuna.load_study.

    Args:
        path: of the file, which is replaced.
        search: its space.
        studies: name -> trials.
    """
    with replacing(path) as partial, _quiet() as optuna:
        partial.unlink(missing_ok=True)
        journal = optuna.storages.journal
        storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(partial)))
        for name, tried in studies.items():
            study = optuna.create_study(study_name=name or "search", storage=storage, direction=_direction(search))
            study.add_trials([_frozen(optuna, search, one) for one in tried])


def require_optuna() -> None:
    """Refuse to search where Optuna is not installed.

    Raises:
        RequestError: with the command that installs it.
    """
    with _quiet():
        pass


@contextmanager
def _quiet() -> Iterator[Any]:
    """Context of Optuna without its log and its notes on what is experimental."""
    try:
        import optuna
    except ModuleNotFoundError as e:
        raise RequestError(f"[search] needs Optuna, {how_to_install([e.name or 'optuna'])}") from None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield optuna
    finally:
        optuna.logging.set_verbosity(verbosity)


def _sampler(optuna: Any, search: Search, number: int, attempt: int) -> Any:
    words = f"{search.settings.seed} {number} {attempt}"
    seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")
    if search.settings.sampler == "random" or attempt > TRIES // 2:  # a model may insist on what was tried
        return optuna.samplers.RandomSampler(seed=seed)
    # Optuna's 10 random trials are half of a search of 20; a third is as many as it has for many dimensions.
    startup = min(10, max(3, search.settings.trials // 3))
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)


def _direction(search: Search) -> str:
    return "maximize" if search.greater_is_better else "minimize"


def _distributions(optuna: Any, search: Search) -> dict[str, Any]:
    kinds, found = optuna.distributions, {}
    for p in search.space:
        if not isinstance(p, Range):
            found[p.field] = kinds.CategoricalDistribution(tuple(p.values))
        elif p.whole:
            found[p.field] = kinds.IntDistribution(int(p.low), int(p.high), log=p.log, step=int(p.step or 1))
        else:
            found[p.field] = kinds.FloatDistribution(p.low, p.high, log=p.log, step=p.step)
    return found


def _frozen(optuna: Any, search: Search, tried: Tried) -> Any:
    states = optuna.trial.TrialState
    state = states.RUNNING if tried.is_running else states.PRUNED if tried.value is None else states.COMPLETE
    return optuna.trial.create_trial(
        state=state,
        value=tried.value,
        params=dict(tried.values),
        distributions=_distributions(optuna, search),
        intermediate_values=dict(tried.course),
    )
