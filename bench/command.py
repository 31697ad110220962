"""How a command of ours ends: exit codes and one-line errors, the same for all."""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.store.disk import to_nowhere, unwritable
from ampbench.terminal import show_everything


def run_command(
    main: Callable[..., int | None], words: Sequence[str] | None = None, *, name: str | None = None
) -> None:
    """Run a typer command and exit with its code; 2 with one line on stderr for what a user can mend, 130 on Ctrl-C.

    Args:
        main: the command.
        words: what was typed after its name; left out, what this process was started with.
        name: what the command is called in its --help.
    """
    show_everything()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    try:
        code = app(words, standalone_mode=False, prog_name=name)
        sys.stdout.flush()
        sys.exit(code)
    except RequestError as e:
        message = str(e)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:  # `| head` has read enough
        to_nowhere(sys.stdout)
        sys.exit(141)
    except OSError as e:
        found = unwritable(e, Path("stdout"), "send it elsewhere")
        if found is None:
            raise
        to_nowhere(sys.stdout)
        message = found
    except Exception as e:
        if not hasattr(e, "format_message"):  # A usage error has it; anything else is ours, and worth a traceback.
            raise
        message = f"{e.format_message()} Try --help."
    print(message, file=sys.stderr)
    sys.exit(2)


def add_switches(main: Callable[..., int], helps: Mapping[str, str]) -> None:
    """Give a command that takes further keywords a switch `--name` for each name of `helps`."""
    own = inspect.signature(main)
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    switches = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, typer.Option(f"--{name}", help=text)],
        )
        for name, text in helps.items()
    ]
    main.__signature__ = own.replace(parameters=[*named, *switches])  # type: ignore[attr-defined]
    main.__annotations__ = {p.name: p.annotation for p in (*named, *switches)}


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Answer SIGTERM and SIGHUP as Ctrl-C: what is finished is joined. A closed terminal hangs up more than once."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.default_int_handler(number, frame)
