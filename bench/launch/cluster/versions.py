"""What a launcher and its nodes must have in common: versions, and the environment variables that change a number."""

from __future__ import annotations

import platform
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from ampbench.bench.machine.provenance import SWITCHES
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.packages import version_of
from ampbench.schema.version import METHOD_VERSION

SET_BY_SCHEDULERS = ("OMP_NUM_THREADS",)
"""Variables that Ray gives a task by its number of CPUs; they would change a number, and the `switches` of its row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """What must be equal on the launcher and on its nodes, for their rows to be compared."""

    torch: str
    """`none` where it is not installed, as on a login node."""
    python: str
    method: int

    @classmethod
    def here(cls) -> Versions:
        """Return those of this process."""
        return cls(torch=version_of("torch"), python=platform.python_version(), method=METHOD_VERSION)

    def refuse_other(self, there: Versions, place: str, *, leave_out: str = "") -> None:
        """Refuse a node that has others.

        Args:
            there: its versions.
            place: its name.
            leave_out: how to do without it, where somebody has to.

        Raises:
            RequestError: with the name of the node.
        """
        if there.torch == "none":
            return  # it is refused as not ready, which says what to install
        for what, own, other in (
            ("torch", self.torch, there.torch),
            ("Python", self.python, there.python),
            ("method", self.method, there.method),
        ):
            if own not in ("none", other):
                raise RequestError(
                    f"{place} has {what} {other}, and the launcher has {what} {own}: their rows would not be compared; "
                    f"install the same on both, {leave_out}or insist with --mixed"
                )


def switches_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a launcher's environment that its nodes must have, too."""
    return {name: value for name, value in environ.items() if name in SWITCHES or name.startswith("AMPBENCH_")}


def take_switches(environ: MutableMapping[str, str], given: Mapping[str, str]) -> None:
    """Give a node's environment the switches of its launcher.

    What the node says of its own folders stays, and so does a switch that it alone needs, as for its network; what a
    scheduler set goes.

    Args:
        environ: of the node; changed.
        given: by `switches_of`.
    """
    for name in SET_BY_SCHEDULERS:
        environ.pop(name, None)
    for name, value in given.items():
        if name in SWITCHES or name not in environ:
            environ[name] = value
