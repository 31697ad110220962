"""The small ViT that models/tiny_vit.py writes, for the small version of the fine-tuning."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch

from ampbench import models
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.source import check_model
from ampbench.models.tiny_vit import main, save, tiny_vit
from ampbench.models.vit import ViT
from tests.conftest import ROOT

PIXELS = torch.randn(2, 3, 32, 32)


def test_a_network_that_was_saved_is_read_back_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = ViT(10, hidden=32, num_layers=3, num_heads=2, image_size=32, patch_size=16).eval()
    save(model, tmp_path)
    check_model(f"hf:{tmp_path}")
    again = models.build(f"hf:{tmp_path}").eval()
    assert torch.equal(again(PIXELS), model(PIXELS))


def test_transformers_reads_it_too(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save(tiny_vit(), tmp_path)
    theirs = transformers.ViTForImageClassification.from_pretrained(tmp_path).eval()
    difference = theirs(PIXELS).logits - tiny_vit().eval()(PIXELS)
    assert float(difference.detach().abs().max()) < 1e-4


def test_the_command_that_the_experiment_names_makes_the_folder_that_it_wants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "experiments" / "smoke" / "vit_finetune_smoke.toml").read_text()
    command = next(line.removeprefix("#").split() for line in text.splitlines() if "python -m models.tiny_vit" in line)
    assert command[:3] == ["python", "-m", "models.tiny_vit"]
    assert f'"hf:{command[3]}"' in text
    folder = command[3].replace("~", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [command[2], folder])
    with pytest.raises(SystemExit, match=r"^0$"):
        runpy.run_module(command[2], run_name="__main__")
    assert json.loads((Path(folder) / "config.json").read_text())["model_type"] == "vit"
    with pytest.warns(UserWarning, match="the head of 1000 classes is replaced by a fresh one of 10"):
        assert models.build(f"hf:{folder}")(PIXELS).shape == (2, 10)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "folder")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main([]) == 2
    assert "usage: python -m models.tiny_vit FOLDER" in capsys.readouterr().err


def test_a_hubs_name_is_what_was_downloaded_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    with pytest.raises(RequestError, match="or fetch it once: hf download google/tiny-vit"):
        check_model("hf:google/tiny-vit")
    save(tiny_vit(), tmp_path / "hub" / "models--google--tiny-vit" / "snapshots" / "0123abcd")
    check_model("hf:google/tiny-vit")
    with pytest.warns(UserWarning, match="head of 1000 classes"):
        assert models.build("hf:google/tiny-vit")(PIXELS).shape == (2, 10)
