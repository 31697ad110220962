"""How a command of ours ends: exit codes and one-line errors, the same for all."""

from __future__ import annotations

import dataclasses
import inspect
import signal
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
import typer.core

from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.flags import TABLES, flags
from ampbench.bench.store.disk import to_nowhere, unwritable
from ampbench.interruption import INTERRUPTED, raise_again
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
    raise_again()
    show_everything()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as under nohup
        signal.signal(signal.SIGHUP, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(cls=_Command)(main)
    try:
        code = app(words, standalone_mode=False, prog_name=name)
        sys.stdout.flush()
        sys.exit(code)
    except RequestError as e:
        message = str(e)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
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


class _Command(typer.core.TyperCommand):
    """A command whose --help has headings, and which refuses a flag of one value given twice.

    Of two values the last would count in silence; some flags may be repeated, so `--gpus 0 --gpus 1` reads like both.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """List arguments and options below the headings that their options name."""
        lists: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                usual = "Arguments" if param.param_type_name == "argument" else "Options"
                lists.setdefault(getattr(param, "rich_help_panel", None) or usual, []).append(record)
        for heading, records in lists.items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what was typed.

        Raises:
            RequestError: a flag was given twice.
        """
        _, _, order = self.make_parser(ctx).parse_args(args=[*args])
        for given, num in Counter(order).items():
            if num > 1 and isinstance(given, typer.core.TyperOption) and not given.multiple and not given.is_flag:
                raise RequestError(f"{given.opts[0]} is given {num} times, and takes one value: give it once")
        return super().parse_args(ctx, args)


def add_switches(main: Callable[..., int], helps: Mapping[str, str], heading: str) -> None:
    """Give a command that takes further keywords a switch `--name` for each name of `helps`, below one heading."""
    own = inspect.signature(main)
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    switches = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False,
            annotation=Annotated[bool, typer.Option(f"--{name}", help=text, rich_help_panel=heading)],
        )
        for name, text in helps.items()
    ]
    main.__signature__ = own.replace(parameters=[*named, *switches])  # type: ignore[attr-defined]
    main.__annotations__ = {p.name: p.annotation for p in (*named, *switches)}


def own_parameters(own: Mapping[str, tuple[Any, Any, Any]]) -> Iterator[inspect.Parameter]:
    """Yield a parameter of a typer command for every name -> its type, its default and its option."""
    for name, (kind, default, option) in own.items():
        annotation: Any = Annotated[kind, option]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


METAVARS = {"switch": None, "integer": "INT", "number": "NUMBER", "list": "A,B", "table": "KEY=VALUE,…", "text": "TEXT"}


def field_parameters(
    *,
    tables: Collection[str] = tuple(TABLES),
    without: Collection[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Iterator[inspect.Parameter]:
    """Yield a parameter of a typer command for every field of an experiment file; what was not typed is None.

    Args:
        tables: of the file whose fields are flags.
        without: fields that are none.
        defaults: shown in place of the field's own.
    """
    for name, flag in flags().items():
        if flag.table not in tables or name in without:
            continue
        words, default = list(flag.words), (defaults or {}).get(name, flag.default)
        if flag.kind == "switch":
            words = [f"{word}/{word.replace('--', '--no-', 1)}" for word in words]
        shown = flag.help + ("" if default in (None, dataclasses.MISSING) else f" [{_shown(default)}]")
        option = typer.Option(
            *words, help=shown, metavar="|".join(flag.choices) or METAVARS[flag.kind], rich_help_panel=flag.heading
        )
        kind = bool | None if flag.kind == "switch" else str | None
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return str(default).lower() if isinstance(default, bool) else str(default)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Answer SIGTERM and SIGHUP as Ctrl-C: what is finished is joined. A closed terminal hangs up more than once."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.default_int_handler(number, frame)
