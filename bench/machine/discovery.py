"""Which boards this machine has: GPUs by NVML, in the order and selection of CUDA_VISIBLE_DEVICES; else the CPU.

NVML ignores CUDA_VISIBLE_DEVICES, so it is applied here. Boards are known by UUID from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ampbench.bench.machine.affinity import given_cores, siblings_of, with_cores
from ampbench.bench.machine.board import Board
from ampbench.bench.machine.driver import boards_of_driver
from ampbench.bench.machine.visible import VARIABLE, pick, visible, why_none, words_in
from ampbench.bench.plan.errors import RequestError

SIMULATE = "AMPBENCH_CPU_BOARDS"

MOST_SIMULATED = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Boards:
    """The boards to use, all of one model, and those not used."""

    used: tuple[Board, ...]
    ignored: tuple[Board, ...] = ()
    """Visible boards of another model, as a comparison never spans two, and those that MIG cuts into slices."""
    exclusive: bool = False
    """Whether one cell at a time runs on the whole machine."""


def find_boards(environ: Mapping[str, str], library: Any = None, root: Path = Path("/")) -> tuple[Board, ...]:
    """Return the visible boards; one that MIG divides is among them, so that indices stay what they are.

    Args:
        environ: `CUDA_VISIBLE_DEVICES` (indices, UUIDs or MIG slices, or empty for none) selects GPUs;
            `AMPBENCH_CPU_BOARDS=n` makes a machine without GPUs pretend to have n boards that share its cores,
            to try out queues. Rows of simulated boards say so.
        library: replaces NVML's bindings in tests.
        root: the folder that holds `sys/`; another one in tests.

    Raises:
        RequestError: CUDA_VISIBLE_DEVICES or AMPBENCH_CPU_BOARDS name boards that do not exist, or this machine has
            GPUs that would not be used because NVML's bindings are not installed.
    """
    variable = environ.get(VARIABLE)
    is_hidden = variable is not None and not words_in(variable)[0]
    gpus = () if is_hidden else boards_of_driver(library, root)
    if shown := visible(gpus, variable):
        given = given_cores()
        return tuple(with_cores(gpus, shown, given, siblings_of(given, root)))
    text = environ.get(SIMULATE, "1")
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or not 1 <= int(text) <= MOST_SIMULATED:
        raise RequestError(
            f"{SIMULATE}={text}: say how many boards to simulate, from 1 to {MOST_SIMULATED}, or unset it"
        )
    count = int(text)
    return tuple(Board(board_id=f"cpu:{i}/{count}" if count > 1 else "cpu") for i in range(count))


def surprises(environ: Mapping[str, str], boards: Sequence[Board], library: Any = None) -> Iterator[str]:
    """Yield a line for each variable that does not do what a person may have meant by it.

    Args:
        environ: as for `find_boards`.
        boards: found there.
        library: replaces NVML's bindings in tests.
    """
    variable = environ.get(VARIABLE)
    named, hidden = words_in(variable) if variable is not None else ([], [])
    if any(board.is_gpu for board in boards):
        if hidden[1:]:
            yield f"{VARIABLE}={variable}: CUDA stops reading at {hidden[0]!r}, so {','.join(hidden[1:])} is hidden"
        if order := _counted_otherwise(environ, named, boards, library):
            yield order
        if SIMULATE in environ:
            yield f"{SIMULATE}={environ[SIMULATE]} is not heeded: it simulates boards of a CPU, and there is a GPU"
    elif named:
        yield (
            f"{VARIABLE}={variable} names a GPU, and NVIDIA's driver finds none here: cells run on the CPU. "
            "Unset it if that is meant, or look at nvidia-smi"
        )
    elif variable is not None and (gpus := _hidden(library)):
        counted = " and ".join(f"{count}x {name}" for name, count in Counter(board.name for board in gpus).items())
        yield f"{VARIABLE}={variable or repr('')} hides {counted}: cells run on the CPU. Unset it to use the GPU"


def _counted_otherwise(
    environ: Mapping[str, str], named: Sequence[str], boards: Sequence[Board], library: Any
) -> str | None:
    """Say that CUDA may mean other boards by the same indices; None where all are of one model, or it counts as we do.

    CUDA counts the fastest first unless CUDA_DEVICE_ORDER says PCI_BUS_ID (CUDA C++ Programming Guide, "CUDA
    Environment Variables"); nvidia-smi, NVML and --gpus count by place on the PCI bus.
    """
    if environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or not any(word.isdecimal() for word in named):
        return None
    if len({board.name for board in boards_of_driver(library)}) < 2:
        return None
    shown = ", ".join(map(str, boards))
    return (
        f"{VARIABLE}={environ[VARIABLE]} is counted as nvidia-smi counts ({shown}); CUDA alone counts the fastest "
        "first. Write UUIDs, or set CUDA_DEVICE_ORDER=PCI_BUS_ID, if other programs are to agree"
    )


def _hidden(library: Any) -> tuple[Board, ...]:
    """Return the GPUs that nobody is to use, as far as they answer."""
    try:
        return boards_of_driver(library)
    except RequestError:
        return ()


def notes_on(environ: Mapping[str, str], boards: Boards) -> Iterator[str]:
    """Yield what a person should read of a choice of boards: which are left aside, and what variables do unmeant."""
    yield from surprises(environ, boards.used)
    if boards.ignored:
        used = boards.used[0].name or ", ".join(map(str, boards.used))  # a CPU has no name of a product
        aside = (f"{board} (cut into MIG slices)" if board.is_cut else str(board) for board in boards.ignored)
        yield f"Using {used}; ignored: {', '.join(aside)}"


def choose_boards(boards: Sequence[Board], gpus: str | None) -> Boards:
    """Choose by `--gpus`: `all`, or indices, UUIDs and MIG slices as CUDA_VISIBLE_DEVICES writes them.

    Without a choice the most common model is used, the first seen on a tie, and the rest is ignored.

    Raises:
        RequestError: no such board, one that MIG divides, or boards of several models were chosen by name.
    """
    known = ", ".join(f"{i} ({board})" for i, board in enumerate(boards))
    if gpus in (None, "all"):
        whole = [board for board in boards if not board.is_cut]
        if not whole:
            raise RequestError(_why_cut(boards))
        common = Counter(board.name for board in whole).most_common(1)[0][0]
        used = [board for board in whole if board.name == common]
    else:
        used = [_chosen(boards, word.strip(), str(gpus), known) for word in str(gpus).split(",")]
        used = list(dict.fromkeys(used))
    if len({board.name for board in used}) > 1:
        raise RequestError(f"--gpus {gpus}: boards of different models cannot be compared; choose one model of {known}")
    whole_of = {board.slice_of for board in used}
    aside = (board for board in boards if board not in used and board.board_id not in whole_of)
    return Boards(used=tuple(used), ignored=tuple(aside))


def _chosen(boards: Sequence[Board], word: str, gpus: str, known: str) -> Board:
    """Return the board that a word of `--gpus` names."""
    if word in ("", "all"):
        alone = "all stands alone" if word else "it names no board where one belongs"
        raise RequestError(f"--gpus {gpus or repr(gpus)}: {alone}; write --gpus all, or choose from {known}")
    board = pick(boards, word)
    if board is None:
        several = why_none(boards, word, "board")
        reason = several if "begins" in several else f"no board {word!r} here"
        raise RequestError(f"--gpus {gpus}: {reason}; choose from {known}")
    if board.is_cut:
        raise RequestError(f"--gpus {gpus}: {_why_cut([board])}")
    return board


def _why_cut(boards: Sequence[Board]) -> str:
    """Say that boards are divided, and which slices there are."""
    first, slices = boards[0], [one.board_id for board in boards for one in board.slices]
    if not slices:
        return f"{first} is in MIG mode and has no slice: make one (nvidia-smi mig -cgi), or end MIG mode"
    return (
        f"{first} is cut into MIG slices, and CUDA would take one of them under the whole board's name: choose one "
        f"with --gpus or CUDA_VISIBLE_DEVICES=MIG-… ({', '.join(slices)}), or another board by its UUID"
    )
