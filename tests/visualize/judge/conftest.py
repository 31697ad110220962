"""Two sides whose truth is known, and the command that compares them, in this process."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from ampbench.visualize import compare
from tests.visualize.conftest import Folder, cell

SEEDS = range(5)


@pytest.fixture
def run(monkeypatch):
    """Run the command in this process, with the width that it has without a terminal."""
    monkeypatch.setenv("COLUMNS", str(compare.WIDTH))
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(compare.main)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def write(tmp_path):
    """Write a folder of fp32 (or other) cells whose speeds and other values follow from a factor and a seed."""

    def write(name, factor=1.0, seeds=SEEDS, recipes=("fp32",), noise=0.01, status="ok", batch_sizes=(128,), **over):
        made = Folder(tmp_path / name)
        rng = np.random.default_rng(sum(name.encode()))
        for seed, size, recipe in itertools.product(seeds, batch_sizes, recipes):
            speed = 1000 * (1 + 0.2 * seed) * factor * math.exp(noise * rng.standard_normal())
            epochs = over.pop("epochs", 20)
            made.add(cell(recipe, size, seed, epochs=epochs), status, **({"images_per_s": speed} | over))
            over["epochs"] = epochs
        return made.write()

    return write


def comparisons(done):
    """Return the rows of a JSON answer."""
    return json.loads(done.stdout)["comparisons"]


def only(done):
    """Return the only row of a JSON answer that ended well."""
    (row,) = comparisons(done)
    return row


def refused(done):
    """Check that a request was refused, and return its message."""
    assert (done.exit_code, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    return line
