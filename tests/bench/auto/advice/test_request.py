"""What is asked of an advice, its folder, and its minutes."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from ampbench.bench.auto.advice.clock import Clock
from ampbench.bench.auto.advice.request import REQUEST, Request
from ampbench.bench.plan.errors import RequestError

ASKED = Request(model="mypackage.nets:Net", data="folder:images", fixed={"image_size": 64}, recipes=("fp32", "bf16"))


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("ResNet18", "advise-ResNet18"),
        ("mypackage.nets:Net", "advise-Net"),
        ("hf:/a/path/to/tiny-vit", "advise-tiny-vit"),
        ("timm:resnet18.a1 in1k", "advise-resnet18.a1_in1k"),
        ("PowerCifarNet:width=1.7,dropout=0.4", "advise-PowerCifarNet-width1.7-dropout0.4"),
    ],
)
def test_the_folder_is_called_after_the_network(model: str, name: str) -> None:
    assert Request(model=model, data="digits").folder_name == name


def test_the_same_question_goes_on_in_its_folder_with_more_minutes_or_other_wishes(tmp_path: Path) -> None:
    ASKED.keep(tmp_path / "a")
    dataclasses.replace(ASKED, minutes=60, want="memory", epochs=30).keep(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "digits"}, "its data is folder:images, here digits"),
        ({"fixed": {"image_size": 32}}, "its image_size is 64, here 32"),
        ({"fixed": {}}, "its image_size is 64, here not given"),
        ({"recipes": ()}, r"its recipes is ['fp32', 'bf16'], here not given"),
        ({"max_memory_bytes": 5}, "its max_memory_bytes is not given, here 5"),
        ({"exclusive": True}, "its exclusive is not given, here True"),
    ],
)
def test_another_question_is_refused_in_a_line_that_says_in_what_they_differ(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    ASKED.keep(tmp_path)
    with pytest.raises(RequestError, match=re.escape(said)) as refused:
        dataclasses.replace(ASKED, **change).keep(tmp_path)
    assert "--results DIR" in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_request_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / REQUEST).write_text(text)
    with pytest.raises(RequestError, match="delete"):
        ASKED.keep(tmp_path)


def test_a_place_in_a_file_is_said_and_nothing_is_to_be_deleted(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="lies in a file; give --results DIR, a folder"):
        ASKED.keep(tmp_path / "file" / "advise-Net")


def test_a_clock_counts_down_to_nothing() -> None:
    now = [100.0]
    clock = Clock.started(2, lambda: now[0])
    assert (clock.used_s, clock.left_s) == (0, 120)
    now[0] = 190
    assert clock.left_s == 30
    now[0] = 1000
    assert clock.left_s == 0
