"""A node that has another torch, or none, beside one that is as its launcher: a Slurm whose n2 sees other files."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from ampbench.bench.launch.slurm.resources import Resources
from ampbench.bench.launch.slurm.slurm import Slurm
from tests.bench.launch.slurm.conftest import QUICK, Swept
from tests.support.slurm_cluster import slurm_cluster, why_missing

pytestmark = [pytest.mark.slurm, pytest.mark.whole]


def metadata_of(name: str) -> Path:
    """Return the file that says which version of a distribution is installed."""
    (found,) = [file for file in importlib.metadata.files(name) or () if file.parts[-2:] == (file.parts[0], "METADATA")]
    return Path(str(found.locate())).resolve()


def test_a_node_of_another_torch_gets_no_cell_and_the_other_node_runs_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if because := why_missing():
        pytest.skip(because)
    own, other = metadata_of("torch"), tmp_path / "METADATA"
    lines = own.read_text().splitlines()
    other.write_text("\n".join("Version: 2.11.0" if line.startswith("Version: ") else line for line in lines))
    swept = Swept(tmp_path, QUICK.replace("[0, 1]", "[0, 1, 2]").replace(', "bf16_amp"', ""))
    with slurm_cluster(on_n2={own: other}) as cluster:
        for name, value in cluster.environ.items():
            monkeypatch.setenv(name, value)
        assert swept(Slurm(resources=Resources(), poll_s=(0.1, 0.3))) == 0
        states = cluster.jobs()
    assert [row["status"] for row in swept.rows] == ["ok"] * 3
    assert {row["torch"] for row in swept.rows} == {importlib.metadata.version("torch")}
    assert swept.said.count("on n2: it has torch 2.11.0, and the launcher has torch") == 1
    assert "insist with --mixed. Meanwhile such cells go to other nodes" in swept.said
    assert 4 <= len(states) <= 5, "n2 was free at once and took one or two of the three groups, each once"
