"""The command line of an advice: what is typed becomes a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ampbench.bench import advise
from ampbench.bench.auto.advice.request import Request
from ampbench.bench.launch.options import Options


@pytest.mark.parametrize("typed", ["fp32,bf16", "fp32, bf16,", "fp32,bf16,fp32"])
def test_recipes_are_the_names_between_commas_each_once(typed: str) -> None:
    assert advise._recipes(typed) == ("fp32", "bf16")


@pytest.mark.parametrize("typed", [False, True])
def test_exclusive_is_of_the_question_and_of_every_cell(
    typed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def heard(request: Request, folder: Path, options: Options, *_: Any, **__: Any) -> int:
        asked.extend([request.exclusive, options.launcher.exclusive])
        return 0

    monkeypatch.setattr("ampbench.bench.auto.advice.advise.advise", heard)
    given = {"model": "LeNet", "results": tmp_path, "exclusive": typed}
    assert advise.main(**{one.name: one.default for one in advise.parameters()} | given) == 0
    assert asked == [typed, typed]
