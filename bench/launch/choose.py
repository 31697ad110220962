"""Which launcher a command runs its cells with, and the flags by which a person says so: one place for all commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

from ampbench.bench.plan.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    from ampbench.bench.launch.launcher import Launcher  # brings Arrow, which a machine that only plans may lack

LAUNCHERS = ("local",)

LAUNCHER = typer.Option("--launcher", help=f"Where cells run: {' or '.join(LAUNCHERS)}; local is this machine.")
RAY_ADDRESS = typer.Option(
    "--ray-address",
    help="With --launcher ray: an existing cluster, as in auto, 10.0.0.1:6379 or ray://10.0.0.1:10001; RAY_ADDRESS "
    "says the same. Without it a cluster of this machine alone is started.",
)

PARAMETERS: dict[str, tuple[Any, Any, Any]] = {
    "launcher": (str, "local", LAUNCHER),
    "ray_address": (str | None, None, RAY_ADDRESS),
}
"""Parameter -> its type, its default and its flag, for a command that makes its parameters."""


def launcher_of(
    name: str,
    *,
    gpus: str | None,
    allow_shared: bool,
    exclusive: bool = False,
    mixed: bool = False,  # noqa: ARG001
    ray_address: str | None = None,
) -> Launcher:
    """Return the launcher that a person chose.

    Args:
        name: as `--launcher`.
        gpus: as `--gpus`.
        allow_shared: as `--allow-shared`.
        exclusive: as `--exclusive`.
        mixed: as `--mixed`: whether nodes of other versions than the launcher's are insisted on.
        ray_address: as `--ray-address`.

    Raises:
        RequestError: there is no such launcher, or what it needs is not installed or does not go with it.
    """
    refuse_flags(name, gpus=gpus, ray_address=ray_address)
    from ampbench.bench.launch.local import Local

    return Local(gpus=gpus, allow_shared=allow_shared, exclusive=exclusive)


def refuse_flags(name: str, *, gpus: str | None, ray_address: str | None) -> None:
    """Refuse a launcher that does not exist, and flags of another one; imports nothing, so that a plan may ask, too.

    Raises:
        RequestError: with the next move.
    """
    if name not in LAUNCHERS:
        raise RequestError(f"--launcher {name}: no such launcher. {did_you_mean(name, LAUNCHERS)}")
    if ray_address is not None and name != "ray":
        raise RequestError(f"--ray-address {ray_address}: belongs to --launcher ray; add it, or drop both")
    if name != "local" and gpus not in (None, "", "all"):
        raise RequestError(
            f"--gpus {gpus}: names boards of this machine, and with --launcher {name} the cluster hands boards out; "
            "drop it"
        )


def refuse_trials(name: str, wanted: Iterable[str]) -> None:
    """Refuse what is found by a look at this machine's own boards, or by trials on them, where cells run elsewhere.

    Args:
        name: as `--launcher`.
        wanted: what would be found, as a person wrote it; empty if nothing.

    Raises:
        RequestError: with the next move.
    """
    words = ", ".join(wanted)
    if words and name != "local":
        raise RequestError(
            f"--launcher {name}: {words} is found on one machine, by what it has; find it there with "
            "--launcher local, and write the values down"
        )
