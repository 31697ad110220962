"""Data made ready before the first cell: bad images are named, a kill loses nothing, and no cell pays for it."""

from __future__ import annotations

import signal
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.bench.launch.local.test_fork_server import ONE, Write
from tests.bench.train.images.test_images import make_folder
from tests.whole.line import records, rows_of, run, started, wait_until

pytestmark = pytest.mark.whole

SHORT = "[measure]\nmax_timing_s = 1\n"


def peaks(file: Path) -> dict[str, float]:
    columns = ("baseline_bytes", "startup_peak_bytes", "steady_peak_bytes")
    return {column: statistics.fmean(row[column] for row in rows_of(file)) for column in columns}


@pytest.mark.parametrize("data", ["digits", "folder"])
def test_the_first_run_on_an_empty_cache_takes_the_memory_of_the_second(
    experiment_file: Write, tmp_path: Path, data: str
) -> None:
    name = data if data == "digits" else f"folder:{make_folder(tmp_path / 'images', size=(500, 400))}"
    text = ONE.replace("synthetic", name).replace("256", "8").replace("[0, 1, 2]", "[0]") + SHORT
    found = []
    for i in range(2):
        file = experiment_file(text, f"run{i}.toml")
        result = run(file, AMPBENCH_CACHE=str(tmp_path / "cache"))
        assert result.returncode == 0, result.stdout + result.stderr
        found.append(peaks(file))
    for column, cold in found[0].items():
        assert cold == pytest.approx(found[1][column], rel=0.02), column


def test_bad_images_are_all_named_before_the_first_cell_and_once_mended_the_same_command_runs(
    experiment_file: Write, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "images")
    bad = [folder / "train" / "bee" / "2.png", folder / "test" / "ant" / "1.png"]
    whole = [path.read_bytes() for path in bad]
    for path in bad:
        path.write_bytes(b"no image")
    file = experiment_file(ONE.replace("synthetic", f"folder:{folder}").replace("256", "4") + SHORT)
    refused = run(file)
    assert refused.returncode == 2
    for path in bad:
        assert refused.stderr.count(f"{path}: no readable image") == 1, refused.stderr
    assert "Traceback" not in refused.stderr + refused.stdout
    assert not records(file)
    for path, content in zip(bad, whole, strict=True):
        path.write_bytes(content)
    mended = run(file)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert [row["status"] for row in rows_of(file)] == ["ok"] * 3


def test_decoding_that_is_killed_or_interrupted_goes_on_where_it_was(experiment_file: Write, tmp_path: Path) -> None:
    """kill -9 of the launcher, then of the process that decodes, then Ctrl-C; nothing is decoded twice."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 60), ("test", 4)):
        for name in ("ant", "bee"):
            (tmp_path / "images" / split / name).mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(0, 256, (1200, 1200, 3), dtype=np.uint8)
                Image.fromarray(noise).save(tmp_path / "images" / split / name / f"{i}.jpg")
    text = ONE.replace("synthetic", f"folder:{tmp_path / 'images'}").replace("256", "4").replace("[0, 1, 2]", "[0]")
    file = experiment_file(text + SHORT)
    cache = {"AMPBENCH_CACHE": str(tmp_path / "cache")}

    def known() -> int:
        return sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("cache/images/*growing/index"))

    def decoders() -> list[psutil.Process]:
        open_files = [(p, f.path) for p in psutil.process_iter() for f in opened(p)]
        return [p for p, path in open_files if path.startswith(str(tmp_path / "cache")) and path.endswith("pixels")]

    before = 0
    for how in ("launcher", "decoder", "ctrl-c"):
        with started(file, **cache) as launcher:
            wait_until(lambda before=before: known() > before)  # type: ignore[misc]
            if how == "launcher":
                launcher.kill()
            elif how == "decoder":
                decoders()[0].kill()
            else:
                launcher.send_signal(signal.SIGINT)
            output, _ = launcher.communicate(timeout=300)
        wait_until(lambda: not decoders(), 60)
        if how == "decoder":
            assert launcher.returncode == 2, output
            assert "was killed by SIGKILL" in output
            assert "what is decoded is kept, and the same command goes on" in output
        elif how == "ctrl-c":
            assert launcher.returncode == 130, output
            assert "Interrupted: 0 of 1 cells are kept. To go on:" in output
        assert "Traceback" not in output
        assert not records(file)
        assert before < known() < 128, how
        before = known()
    result = run(file, **cache)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [row["status"] for row in rows_of(file)] == ["ok"]


def opened(process: psutil.Process) -> list[Any]:
    try:
        return list(process.open_files())
    except psutil.Error:
        return []


def test_data_that_cannot_be_fetched_is_one_line_and_not_one_a_cell(experiment_file: Write, tmp_path: Path) -> None:
    file = experiment_file(ONE.replace("synthetic", "cifar10"))
    dead = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    result = run(file, AMPBENCH_CACHE=str(tmp_path / "cache"), **dead)
    assert result.returncode == 2, result.stdout + result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("data = 'cifar10': download from ")
    assert not records(file)
