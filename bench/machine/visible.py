"""CUDA_VISIBLE_DEVICES, and words like those in it: which boards are meant, in which order, and what is hidden.

The reference is the CUDA Programming Guide, "CUDA Environment Variables": indices in PCI order, UUIDs or their
beginnings, MIG slices; the order counts, and reading stops at the first index that is not valid. CUDA also shows
nothing where a board is named twice, and one MIG slice at most. Here such a slip is an error and not a smaller list,
and several slices are several boards, since a worker sees only its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ampbench.bench.machine.board import Board
from ampbench.bench.plan.errors import RequestError

VARIABLE = "CUDA_VISIBLE_DEVICES"
"""Of `--gpus`, in every command."""


def words_in(variable: str) -> tuple[list[str], list[str]]:
    """Return the words up to the one that hides the rest, and those that are hidden, that one first."""
    words = [word.strip() for word in variable.split(",")]
    border = next((i for i, word in enumerate(words) if _ends(word)), len(words))
    return words[:border], words[border:]


def visible(boards: Sequence[Board], variable: str | None) -> tuple[Board, ...]:
    """Return the boards that CUDA_VISIBLE_DEVICES shows, in its order; all without a value.

    Args:
        boards: all of the machine, in PCI order.
        variable: its value.

    Raises:
        RequestError: it names a board that is not there, or one twice.
    """
    if variable is None or not boards:
        return tuple(boards)
    chosen: list[Board] = []
    for word in words_in(variable)[0]:
        board = pick(boards, word)
        if board is None:
            raise RequestError(f"{VARIABLE}={variable}: {why_none(boards, word, 'GPU')}")
        if board in chosen:
            raise RequestError(f"{VARIABLE}={variable}: {word!r} names {board} again, where CUDA shows no GPU at all; "
                               "name each once")  # fmt: skip
        chosen.append(board)
    return tuple(chosen)


def pick(boards: Sequence[Board], word: str) -> Board | None:
    """Find a board by its index, its id or the only beginning of one; a MIG slice by its id. None if there is none."""
    if word.isascii() and word.isdecimal():
        return boards[int(word)] if len(word) < 10 and int(word) < len(boards) else None
    found = [board for board in _all(boards) if word in board.names] or _begun_by(boards, word)
    return found[0] if len(found) == 1 else None


def why_none(boards: Sequence[Board], word: str, kind: str) -> str:
    """Say why a word names no board, and which there are.

    Args:
        boards: to choose from.
        word: that `pick` found nothing for.
        kind: what the word should have named.
    """
    begun = _begun_by(boards, word)
    if len(begun) > 1:
        return f"{word!r} begins the ids of {' and '.join(board.board_id for board in begun)}; write more of it"
    known = [f"{i} = {board.board_id}" for i, board in enumerate(boards)]
    known += [board.board_id for board in _all(boards) if board not in boards]
    return f"no {kind} {word!r}; there are {', '.join(known)}"


def _ends(word: str) -> bool:
    """Whether a word hides itself and all that comes after it: nothing, a negative index, or NoDevFiles."""
    return word in ("", "NoDevFiles") or bool(re.fullmatch(r"-[0-9]+", word))


def _begun_by(boards: Sequence[Board], word: str) -> list[Board]:
    return [board for board in _all(boards) if word and any(name.startswith(word) for name in board.names)]


def _all(boards: Sequence[Board]) -> Iterator[Board]:
    """Yield the boards, and after each its slices that are not boards of the list themselves."""
    for board in boards:
        yield board
        yield from (one for one in board.slices if one not in boards)
