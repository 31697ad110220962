"""The checks before the first cell: all that keeps cells from running is said at once, each thing once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ampbench.bench.launch.readiness.finding import Check, Finding, Subject
from ampbench.bench.launch.readiness.places import PLACES
from ampbench.bench.launch.readiness.software import SOFTWARE
from ampbench.bench.plan.errors import RequestError

CHEAP: tuple[Check, ...] = tuple(Check(name=name, ask=ask) for name, ask in {**SOFTWARE, **PLACES}.items())
"""Each takes milliseconds."""


def refuse_unready(subject: Subject, checks: Sequence[Check] = CHEAP) -> None:
    """Refuse to start cells on a machine that cannot run them.

    Raises:
        RequestError: all that fails, in one message, each with its next move.
    """
    said = list(dict.fromkeys(found.said for check in checks if (found := asked(check.ask, subject)).level == "failed"))
    if len(said) == 1:
        raise RequestError(said[0])
    if said:
        numbered = "; ".join(f"({i}) {one}" for i, one in enumerate(said, 1))
        raise RequestError(f"{len(said)} things keep these cells from running: {numbered}")


def asked(ask: Callable[[Subject], Finding], subject: Subject) -> Finding:
    """Ask a check. One that fails by itself is a finding too: a machine may lack what the check rests on."""
    try:
        return ask(subject)
    except RequestError as e:
        return Finding(level="failed", said=str(e))
    except (OSError, ValueError) as e:
        return Finding(level="warning", said=f"not known: {type(e).__name__}: {e}")
