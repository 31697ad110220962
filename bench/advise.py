"""python bench/advise.py --model mypackage.nets:Net --data folder:PATH: find batch size, rate and precision."""

import os
import sys

# See run_matrix.py: bench/ must not stand first on the path.
if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    from ampbench.interruption import end_quietly

    end_quietly()
    from ampbench.path import step_aside

    step_aside()
    from ampbench.bench.plan.packages import require_packages

    require_packages()

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ampbench.bench.command import field_parameters, own_parameters, run_command
from ampbench.bench.machine.hardware import find_hardware
from ampbench.bench.options import ALLOW_SHARED, DATA_DIR, EXCLUSIVE, GPUS, RESULTS, below
from ampbench.bench.plan.data_place import use_data_dir
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.flags import in_words_typed, value_typed
from ampbench.schema.sizes import bytes_of

WANTS = ("speed", "memory", "energy")
"""What advice may go by; time to accuracy takes whole trainings, which no advice waits for."""


def main(**typed: Any) -> int:
    """Find how to train a network on this machine: batch size, workers, learning rate and precision.

    Six stages within --minutes: the machine, the batch size, the learning rate and the loader, rounds of timing of the
    recipes, short paired trainings with samples of their layers, and, where few layers are the trouble of a recipe, the
    same recipe with these layers in fp32. Each stage is an experiment file in the results folder, which
    run_matrix.py runs again by hand. Every value that you give is kept. It may be interrupted at any time: the same
    command continues where it stopped, and with more --minutes it goes further. Exit codes: 0 done, 2 the request was
    wrong, 130 interrupted.

    Environment: AMPBENCH_CACHE=DIR is the folder for decoded images and downloads (default ~/.cache/ampbench),
    AMPBENCH_LOCKS=DIR that for the locks that all users of this machine share (default: a folder for temporary files).
    """
    own = {name: typed.pop(name) for name in OWN}
    use_data_dir(own["data_dir"])
    from rich.console import Console

    from ampbench.bench.auto.advice.advise import advise
    from ampbench.bench.auto.advice.request import Request
    from ampbench.bench.launch.local.local import Local
    from ampbench.bench.launch.options import Options
    from ampbench.path import ROOT

    request = Request(
        model=own["model"],
        data=own["data"],
        fixed={name: value_typed(name, value) for name, value in typed.items() if value is not None},
        recipes=_recipes(own["recipes"] or ""),
        minutes=_minutes(own["minutes"]),
        want=_want(own["want"]),
        max_memory_bytes=_bytes(own["max_memory"]),
        epochs=own["epochs"],
        exclusive=own["exclusive"],
    )
    folder = (own["results"] or ROOT / "results").absolute() / request.folder_name
    launcher = Local(gpus=own["gpus"], allow_shared=own["allow_shared"], exclusive=own["exclusive"])
    options = Options(launcher=launcher, results=folder)
    try:
        return advise(request, folder, options, Console(), hardware=lambda: find_hardware(os.environ, gpus=own["gpus"]))
    except RequestError as e:
        raise RequestError(in_words_typed(str(e))) from None


def _recipes(typed: str) -> tuple[str, ...]:
    """Return the names between commas, each once."""
    return tuple(dict.fromkeys(filter(None, map(str.strip, typed.split(",")))))


def _minutes(minutes: float) -> float:
    if not 0 < minutes <= 10_000:
        raise RequestError(f"--minutes {minutes:g}: say how long the advice may take, as in 10")
    return minutes


def _want(want: str) -> str:
    if want not in WANTS:
        raise RequestError(f"--want {want}: choose one of {', '.join(WANTS)}")
    return want


def _bytes(text: str | None) -> int | None:
    size = None if text is None else bytes_of(text)
    if text is not None and size is None:
        raise RequestError(f"--max-memory {text}: write a size with its unit, as in 24GiB, 16GB or 800MiB")
    return size


CHOSEN_HERE = ("model", "data", "epochs", "seed", "loss_scale", "gpus")
"""Fields of a cell that are no flags of this command, or flags of another meaning."""

asked = below("What is asked")
"""A flag of this command alone."""

# fmt: off
OWN: dict[str, tuple[Any, Any, Any]] = {
    "model": (str, ..., asked("--model", help=(
        "A name of the zoo, torchvision:NAME, timm:NAME, hf:PATH or package.module:factory."))),
    "data": (str, "cifar10", asked("--data", help="digits, cifar10, cifar100, synthetic or folder:PATH.")),
    "minutes": (float, 10.0, asked("--minutes", help="How long it may take.")),
    "want": (str, "speed", asked("--want", help=f"What the advice goes by: {', '.join(WANTS)}.")),
    "max_memory": (str | None, None, asked("--max-memory", help=(
        "Advise nothing that needs more, as in 24GiB, 16GB or 800MiB."))),
    "recipes": (str | None, None, asked("--recipes", metavar="A,B", help=(
        "The recipes to compare; by default those that could win on this machine."))),
    "epochs": (int | None, None, asked("--epochs", min=1, help=(
        "Of the training that you have in mind, for its hours and for the experiment that settles its accuracy."))),
    "gpus": (str, "all", GPUS),
    "allow_shared": (bool, False, ALLOW_SHARED),
    "exclusive": (bool, False, EXCLUSIVE),
    "data_dir": (Path | None, None, DATA_DIR),
    "results": (Path | None, None, RESULTS),
}
# fmt: on
"""Parameter -> its type, its default and its flag, for parameters that are not fields of a cell."""


def parameters() -> Iterator[inspect.Parameter]:
    """Yield the parameters of the command: its own first, then the fields of a cell that a person may set."""
    yield from own_parameters(OWN)
    yield from field_parameters(tables=("fixed",), without=CHOSEN_HERE)


main.__signature__ = inspect.Signature(list(parameters()), return_annotation=int)  # type: ignore[attr-defined]
main.__annotations__ = {p.name: p.annotation for p in parameters()}

if __name__ == "__main__":
    run_command(main)
