"""Which packages are installed, and what to type where one is missing. Imports nothing but the standard library."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from ampbench.path import ROOT

DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow", "pynvml": "nvidia-ml-py", "annotated_types": "pydantic"}
"""Module -> the distribution that brings it, where the two have different names."""

NEEDED = ("pydantic", "annotated_types", "typer", "rich", "filelock", "psutil")
"""Modules without which no command starts. A plan needs no more: a machine that only plans has no torch."""

MEASURING = (*NEEDED, "torch", "numpy", "pyarrow", "pandas")
"""Modules without which nothing is measured; all others are imported only where they are used."""

BROUGHT = {"pydantic": ("pydantic-core", "annotated-types", "typing-inspection", "typing-extensions")}
"""What a distribution of ours brings along, so that it can be carried to a machine without a registry."""


def require_packages() -> None:
    """End the process with one line if a package is missing without which no command works.

    Raises:
        SystemExit: with code 2, as for anything that a user can mend.
    """
    missing = absent(NEEDED)
    if missing:
        print(f"{how_to_install(missing)}; or all that a user needs: make quickstart", file=sys.stderr)
        sys.exit(2)


def absent(modules: Iterable[str]) -> list[str]:
    """Return the modules that cannot be found, without importing any."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def how_to_install(modules: Iterable[str]) -> str:
    """Say which modules are missing and the command that brings them."""
    wanted = dict.fromkeys(DISTRIBUTIONS.get(name, name) for name in (module.partition(".")[0] for module in modules))
    words = " ".join(_quoted(requirement(name)) for name in wanted)
    return f"not installed here: {', '.join(wanted)}; {Path(sys.executable).name} -m pip install {words}"


def advice(error: BaseException) -> str:
    """Say what to install after an import that failed; nothing for a module that is not of our requirements.

    A name that a user has mistyped is no package to install from anywhere.
    """
    module = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    known = {*MEASURING, *DISTRIBUTIONS, *map(_name, requirements())}
    return f"; {how_to_install([module])}" if module in known else ""


def requirement(distribution: str) -> str:
    """Return a distribution with its lower bound, as requirements.txt or requirements-dev.txt has it."""
    return next((line for line in requirements() if _name(line) == distribution), distribution)


def requirements(names: Iterable[str] = ("requirements.txt", "requirements-dev.txt")) -> list[str]:
    """Return the lines of the files of requirements, without their comments; the first is what a user needs."""
    files = [ROOT / name for name in names]
    lines = [
        line.partition("#")[0].strip() for file in files if file.exists() for line in file.read_text().splitlines()
    ]
    return [line for line in lines if line]


def missing(wanted: Iterable[str]) -> list[str]:
    """Return the requirements of `wanted` that are not met here: absent, or older than the lower bound."""
    return [line for line in wanted if not _is_met(line)]


def to_carry(wanted: Iterable[str]) -> list[str]:
    """Return the distributions whose wheels a machine without a registry needs, for these requirements."""
    names = [_name(line) for line in wanted]
    return list(dict.fromkeys(each for name in names for each in (name, *BROUGHT.get(name, ()))))


def version_of(distribution: str) -> str:
    """Return the version of an installed distribution; `none` if it is not installed, as a hash needs a word."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _is_met(line: str) -> bool:
    name, _, bound = line.partition(">=")
    try:
        version = importlib.metadata.version(name.strip())
    except importlib.metadata.PackageNotFoundError:
        return False
    return _numbers(version) >= _numbers(bound)


def _numbers(version: str) -> list[int]:
    """Return the release of a version; `2.11.0+cu130` is [2, 11, 0]."""
    found = re.match(r"\s*(\d+(?:\.\d+)*)", version)
    return [int(part) for part in found[1].split(".")] if found else []


def _name(line: str) -> str:
    return re.split("[<>=!~ ]", line, maxsplit=1)[0]


def _quoted(line: str) -> str:
    return f"'{line}'" if set(line) & set("<>!") else line
