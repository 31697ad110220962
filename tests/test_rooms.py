"""The rules of the house: who may import whom, and what never stands in it."""

from __future__ import annotations

import ast
import functools
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# A room may import the rooms below it, and files of its own.
BELOW: dict[str, set[str]] = {
    "schema": set(),
    "bench.plan": {"schema", "models"},
    "bench.machine": {"schema", "bench.plan"},
    "bench.store": {"schema", "bench.plan", "bench.machine"},
    "bench.measure": {"schema", "bench.plan", "bench.machine", "bench.store"},
    "bench.train": {"schema", "bench.plan", "bench.store", "models"},
    "bench.worker": {"schema", "bench.plan", "bench.machine", "bench.store", "bench.measure", "bench.train"},
    "bench.sinks": {"schema", "bench.store", "bench.plan"},
    "bench.launch": {"schema", "bench.plan", "bench.machine", "bench.store", "bench.worker", "bench.sinks"},
    "bench.auto": {"schema", "bench.plan", "bench.machine", "bench.store", "bench.launch"},
    "visualize.read": {"schema"},
    "visualize.stats": {"schema", "visualize.read"},
    "visualize.judge": {"schema", "visualize.read", "visualize.stats"},
    "visualize.findings": {"schema", "visualize.read", "visualize.stats", "visualize.judge"},
    "visualize.figures": {"schema", "visualize.read", "visualize.stats", "visualize.judge", "visualize.findings"},
    "visualize.show": {
        *("schema", "visualize.read", "visualize.stats", "visualize.judge", "visualize.findings", "visualize.figures")
    },
    "visualize": {
        *("schema", "visualize.read", "visualize.stats", "visualize.judge", "visualize.findings", "visualize.figures"),
        "visualize.show",
    },
    "models": set(),
    "ampbench": {
        *("schema", "bench.plan", "bench.measure", "bench.worker", "bench.store", "bench.launch", "bench.auto"),
        *("visualize.show", "visualize.figures"),
    },
}

WITHIN = {
    "bench.train": ("images", "augmentation", "precision", "loss", "state"),
    "bench.worker": ("timing", "passes"),
    "visualize.judge": ("runs", "verdict", "health", "decision", "answer"),
    "visualize.figures": ("shared", "sheet"),
}
"""Rooms within a room: each may import those before it."""

KNOWN_TO_ALL = ("interruption", "path", "terminal")
"""Modules of `ampbench` below every room."""


@functools.cache
def modules() -> dict[str, Path]:
    """Return the name of every module and package of ours -> its file."""
    found = {}
    for room in ("ampbench", "bench", "models", "visualize"):
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(["ampbench", *(part for part in parts if part not in ("ampbench", "__init__"))])] = path
    return found


@functools.cache
def imports(path: Path, *, for_types: bool = True) -> list[str]:
    """Return the modules that a file imports, in functions too; `for_types`: and those for its type hints alone."""
    return list(_imports(_nodes(ast.parse(path.read_text()), for_types)))


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in modules() or node.module == "ampbench" else node.module


def _nodes(tree: ast.AST, for_types: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.expr):  # holds no import
            continue
        if for_types or not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from _nodes(node, for_types)


def room_of(module: str) -> str | None:
    """Return the room that a module of ours lies in; None of another's, and of what all rooms may know."""
    ours, *parts = module.split(".")
    if ours != "ampbench" or (parts[:1] and parts[0] in KNOWN_TO_ALL):
        return None
    if parts[:1] == ["bench"] or ".".join(parts[:2]) in BELOW:
        return ".".join(parts[:2])
    return parts[0] if parts[:1] and parts[0] in BELOW else "ampbench"


def files_of(room: str) -> list[Path]:
    """Return the files of a room; those of the others are linked into `ampbench` and none of its own."""
    folder = ROOT / "ampbench" / room if room == "schema" else ROOT / room.replace(".", "/")
    return list(folder.glob("*.py") if room in ("ampbench", "visualize") else folder.rglob("*.py"))


@pytest.mark.parametrize("room", BELOW)
def test_an_arrow_only_points_down(room: str) -> None:
    files = files_of(room)
    assert files
    for path in files:
        for module in imports(path):
            target = room_of(module)
            if target in BELOW and target != room:
                assert target in BELOW[room], f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("room", WITHIN)
def test_an_arrow_only_points_back_within_a_room(room: str) -> None:
    for k, name in enumerate(WITHIN[room]):
        later = tuple(f"ampbench.{room}.{other}." for other in WITHIN[room][k + 1 :])
        for path in files_of(f"{room}.{name}"):
            wrong = [module for module in imports(path) if module.startswith(later)]
            assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("name", KNOWN_TO_ALL)
def test_what_every_room_may_import_imports_none(name: str) -> None:
    assert not [module for module in imports(ROOT / "ampbench" / f"{name}.py") if room_of(module) in BELOW]


def test_everything_of_ours_has_one_name() -> None:
    for room in BELOW:
        for path in files_of(room):
            other = [m for m in imports(path) if m.partition(".")[0] in ("bench", "models", "visualize")]
            assert not other, f"{path.relative_to(ROOT)} imports {other}: say ampbench.{other[0]}"


def test_no_two_files_import_each_other_in_a_circle() -> None:
    below = {name: {m for m in imports(path, for_types=False) if m in modules()} for name, path in modules().items()}
    circles = [set(way) for name in below if (way := _way_back(name, below))]
    assert not circles, f"import each other: {sorted(min(circles, key=len))}"


def _way_back(start: str, below: dict[str, set[str]]) -> list[str]:
    """Return the modules on the shortest way of imports from one back to itself; none if there is no such way."""
    came_from, ahead = dict.fromkeys(below[start], start), list(below[start])
    for module in ahead:
        if module == start:
            way = [module]
            while came_from[way[-1]] != start:
                way.append(came_from[way[-1]])
            return way
        for further in below[module] - came_from.keys():
            came_from[further] = module
            ahead.append(further)
    return []


def test_instruments_do_not_know_of_one_another() -> None:
    for path in (ROOT / "bench" / "measure").glob("*.py"):
        own = [module for module in imports(path) if module.startswith("ampbench.bench.measure")]
        assert not own, f"{path.name} imports {own}"


def test_no_command_launcher_or_store_imports_torch() -> None:
    modules = [
        "ampbench.bench.run_matrix",
        "ampbench.bench.run_one",
        "ampbench.bench.advise",
        "ampbench.bench.evaluate",
        "ampbench.bench.convert",
    ]
    for room in ("bench.plan", "bench.machine", "bench.store", "bench.launch", "bench.auto"):
        files = [path for path in files_of(room) if path.stem != "__main__"]
        modules += [".".join(["ampbench", *path.relative_to(ROOT).with_suffix("").parts]) for path in files]
    heavy = {"torch", "pandas", "seaborn", "wandb"}
    assert not imported_with(modules, heavy)


def test_one_file_opens_nvml() -> None:
    """All others go through it. The list of packages names its bindings too."""
    may = {ROOT / "bench" / "machine" / "nvml.py", ROOT / "bench" / "plan" / "packages.py"}
    opening = re.compile("pynvml|nvmlInit|nvmlShutdown|libnvidia-ml")
    found = set()
    for folder in ("ampbench", "bench", "models", "visualize", "experiments"):
        found |= {path for path in (ROOT / folder).rglob("*.py") if opening.search(path.read_text())}
    assert found == may


def test_visualize_imports_neither_torch_nor_bench() -> None:
    commands = ["report", "compare", "undecided"]
    assert not imported_with([f"ampbench.visualize.{name}" for name in commands], {"torch", "ampbench.bench"})


def imported_with(modules: list[str], heavy: set[str]) -> list[str]:
    """Return 'module: what heavy thing it brought' for each module, imported in turn in a clean process."""
    code = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
    for name in {heavy} & sys.modules.keys():
        print(module, "imports", name)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def tracked_text() -> Iterator[tuple[Path, str]]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".txt", ".sh", ".ipynb", ".jinja", "") and path.is_file():
            yield path, path.read_text(errors="replace")


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the checkout's list of files")
def test_no_secret_is_committed() -> None:
    secret = re.compile(r"(api[_-]?key|token|secret)\W{1,4}[A-Za-z0-9_]{20,}|\b[0-9a-f]{40}\b", re.IGNORECASE)
    for path, text in tracked_text():
        assert not secret.search(text), path


def test_a_file_is_one_noun_of_at_most_250_lines_and_most_are_far_shorter() -> None:
    lengths = {
        path: len(path.read_text().splitlines())
        for folder in ("ampbench", "bench", "experiments", "models", "visualize")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert not {path: length for path, length in lengths.items() if length > 250}
    assert statistics.median(length for length in lengths.values() if length > 10) <= 120


def test_the_column_reference_is_the_one_in_the_code() -> None:
    from ampbench.bench.store.reference import reference

    assert (ROOT / "results" / "README.md").read_text() == reference(), "run: make reference"
