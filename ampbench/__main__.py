"""python -m ampbench COMMAND: every command of this repository, from any folder."""

from ampbench.interruption import end_quietly

if __name__ == "__main__":
    end_quietly()
from ampbench.path import step_aside

step_aside()
from ampbench.bench.plan.packages import require_packages

require_packages()

import importlib
from collections.abc import Callable
from typing import NamedTuple

import typer

from ampbench.terminal import show_everything


class Command(NamedTuple):
    """A module whose `main` is a typer command; it is imported when the command is called."""

    module: str
    about: str
    flags: tuple[str, ...] = ()
    """Flags put before those of the user."""


COMMANDS = {
    "run": Command("ampbench.bench.run_matrix", "Run every cell of an experiment file, then say what it shows."),
    "plan": Command("ampbench.bench.run_matrix", "Print what a file would run, and run nothing.", ("--plan",)),
    "one": Command("ampbench.bench.run_one", "Run one cell from flags."),
    "advise": Command(
        "ampbench.bench.advise", "Find batch size, workers, learning rate and precision of a network, in minutes."
    ),
    "check": Command("ampbench.bench.check_env", "Check that all that a training needs is here, and train two epochs."),
    "hardware": Command("ampbench.bench.hardware", "Show this machine's boards, cores, memory, disks and limits."),
    "evaluate": Command(
        "ampbench.bench.evaluate", "Evaluate the weights that a training kept, in the precision of the training."
    ),
    "report": Command("ampbench.visualize.report", "Draw the report of a folder of results again."),
    "compare": Command("ampbench.visualize.compare", "Is B faster than A? Two folders, or two selections from one."),
    "export": Command("ampbench.visualize.export", "Write a table of results as CSV, Markdown, LaTeX or JSON."),
    "explain": Command(
        "ampbench.visualize.explain", "Why is a recipe not faster, not smaller, or NaN? From one recipe to another."
    ),
    "convert": Command("ampbench.bench.convert", "Rename the columns of results that an older version wrote."),
    "memory": Command("ampbench.memory", "Show what filled a GPU's memory, from a memory snapshot of torch."),
}


def make_app() -> typer.Typer:
    """Return the commands; none is imported before it is called, so that --help is fast."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, no_args_is_help=True)
    forwarded = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
    for name, command in COMMANDS.items():
        app.command(name, help=command.about, context_settings=forwarded)(_call(name, command))

    @app.callback(help="In which precision should I train this network on this machine? COMMAND --help says more.")
    def whole() -> None:
        pass

    return app


def _call(name: str, command: Command) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        from ampbench.bench.command import run_command

        main = importlib.import_module(command.module).main
        run_command(main, [*command.flags, *context.args], name=f"python -m ampbench {name}")

    return call


def main() -> None:
    """Run the command `ampbench` of an installation."""
    end_quietly()
    show_everything()
    make_app()(prog_name="ampbench")


if __name__ == "__main__":
    show_everything()
    make_app()(prog_name="python -m ampbench")
