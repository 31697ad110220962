"""Which launcher a command runs its cells with: one place for all commands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.errors import RequestError, did_you_mean
from ampbench.bench.plan.matrix import Plan

if TYPE_CHECKING:
    from ampbench.bench.launch.launcher import Launcher  # brings Arrow, which a machine that only plans may lack

LAUNCHERS = ("local", "ray", "slurm")


def launcher_of(
    name: str,
    *,
    gpus: str | None,
    allow_shared: bool,
    exclusive: bool = False,
    mixed: bool = False,
    ray_address: str | None = None,
    slurm: Sequence[str] | None = None,
) -> Launcher:
    """Return the launcher that a person chose.

    Args:
        name: as `--launcher`.
        gpus: as `--gpus`.
        allow_shared: as `--allow-shared`.
        exclusive: as `--exclusive`.
        mixed: as `--mixed`: whether nodes of other versions than the launcher's are insisted on.
        ray_address: as `--ray-address`.
        slurm: as `--slurm`.

    Raises:
        RequestError: there is no such launcher, or what it needs is not installed or does not go with it.
    """
    refuse_flags(name, gpus=gpus, ray_address=ray_address, slurm=slurm)
    if name == "slurm":
        from ampbench.bench.launch.slurm.resources import parse_resources
        from ampbench.bench.launch.slurm.slurm import Slurm

        return Slurm(
            resources=parse_resources(slurm or ()), allow_shared=allow_shared, exclusive=exclusive, mixed=mixed
        )
    if name == "ray":
        from ampbench.bench.launch.ray.ray import Ray

        return Ray(address=ray_address, allow_shared=allow_shared, exclusive=exclusive, mixed=mixed)
    from ampbench.bench.launch.local.local import Local

    return Local(gpus=gpus, allow_shared=allow_shared, exclusive=exclusive)


def lines_of_jobs(
    name: str,
    plan: Plan,
    cells: Sequence[Cell],
    results: Path | None,
    *,
    slurm: Sequence[str] | None,
    exclusive: bool = False,
    again: Sequence[str] = (),
) -> Iterator[str]:
    """Yield what `--plan` shows of the jobs that a launcher would submit; nothing where it submits none.

    Args:
        name: as `--launcher`.
        plan: the whole of it.
        cells: those chosen on the command line.
        results: as in `Options`.
        slurm: as `--slurm`.
        exclusive: as `--exclusive`.
        again: as in `Options`.

    Raises:
        RequestError: what was asked for is not there.
    """
    if name == "slurm":
        from ampbench.bench.launch.kept import kept
        from ampbench.bench.launch.slurm.preview import script_lines
        from ampbench.bench.launch.slurm.resources import parse_resources
        from ampbench.bench.store.folder import Folder

        resources = parse_resources(slurm or ()).of_whole_nodes(exclusive)
        yield from script_lines(resources, plan, cells, results, done=kept(cells, Folder.of(plan, results), again))


def refuse_flags(
    name: str,
    *,
    gpus: str | None,
    ray_address: str | None,
    slurm: Sequence[str] | None = None,
    of_one_machine: Iterable[str] = (),
) -> None:
    """Refuse a launcher that does not exist, and flags of another one; imports nothing, so that a plan may ask, too.

    Args:
        name: as `--launcher`.
        gpus: as `--gpus`.
        ray_address: as `--ray-address`.
        slurm: as `--slurm`.
        of_one_machine: flags that were typed and are about the boards of this machine together.

    Raises:
        RequestError: with the next move.
    """
    if name not in LAUNCHERS:
        raise RequestError(f"--launcher {name}: no such launcher. {did_you_mean(name, LAUNCHERS)}")
    if ray_address is not None and name != "ray":
        raise RequestError(f"--ray-address {ray_address}: belongs to --launcher ray; add it, or drop both")
    if slurm and name != "slurm":
        raise RequestError(f"--slurm {slurm[0]}: belongs to --launcher slurm; add it, or drop both")
    if name != "local" and gpus not in (None, "", "all"):
        raise RequestError(
            f"--gpus {gpus}: names boards of this machine, and with --launcher {name} the cluster hands boards out; "
            "drop it"
        )
    for flag in of_one_machine if name != "local" else ():
        raise RequestError(
            f"{flag} is about the boards of one machine, and --launcher {name} has several; run it there, with "
            "--launcher local"
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
