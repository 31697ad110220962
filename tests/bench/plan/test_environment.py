"""Variables that a worker sets before CUDA starts: which are known, where they act, and what would hide them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ampbench.bench.launch.refusals import refuse_hidden
from ampbench.bench.plan.cell import Cell
from ampbench.bench.plan.environment import ALLOCATOR_SETTINGS, as_variables
from ampbench.bench.plan.errors import RequestError
from ampbench.bench.plan.experiment import read_experiment
from ampbench.bench.plan.flags import value_typed
from ampbench.bench.plan.matrix import Plan, make_plan
from tests.conftest import ROOT

EXPERIMENT = """
question = "?"
[matrix]
{axis}
[fixed]
model = "LeNet"
data = "digits"
precision = "fp32"
batch_size = 64
{fixed}
"""


@pytest.fixture
def planned(experiment_file: Callable[..., Path]) -> Callable[..., Plan]:
    """Return a function that plans an experiment with these lines."""

    def plan(fixed: str = "", axis: str = "") -> Plan:
        return make_plan(read_experiment(experiment_file(EXPERIMENT.format(fixed=fixed, axis=axis))))

    return plan


def test_a_cell_with_variables_is_another_cell_and_an_empty_table_is_none(planned: Callable[..., Plan]) -> None:
    (plain,) = planned().cells
    (empty,) = planned("environment = {}").cells
    (set_,) = planned("environment = {CUDA_LAUNCH_BLOCKING = 1}").cells
    assert empty.cell_id == plain.cell_id != set_.cell_id
    assert set_.settings["environment"] == '{"CUDA_LAUNCH_BLOCKING": "1"}'
    assert Cell.from_json(set_.to_json()) == set_


@pytest.mark.parametrize("value", ["1", "true", '"1"'])
def test_a_switch_is_one_cell_however_it_is_written(value: str, planned: Callable[..., Plan]) -> None:
    (cell,) = planned(f"environment = {{CUDA_LAUNCH_BLOCKING = {value}}}").cells
    assert as_variables(cell.environment) == {"CUDA_LAUNCH_BLOCKING": "1"}


def test_variables_may_be_an_axis(planned: Callable[..., Plan]) -> None:
    cells = planned(axis='environment = [{}, {PYTORCH_ALLOC_CONF = "expandable_segments:True"}]').cells
    assert [as_variables(cell.environment) for cell in cells] == [
        {},
        {"PYTORCH_ALLOC_CONF": "expandable_segments:True"},
    ]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("{NCCL_P2P_DISABEL = 1}", "Did you mean 'NCCL_P2P_DISABLE'?"),
        ("{LD_PRELOAD = 'x.so'}", "'LD_PRELOAD', which is not known here. Known: NCCL_P2P_DISABLE"),
        ("{CUDA_LAUNCH_BLOCKING = 2}", "CUDA_LAUNCH_BLOCKING to 2; it should be one of 0, 1"),
        ("{PYTORCH_ALLOC_CONF = 'expandable_segment:True'}", "it should be settings with their values"),
        ("{PYTORCH_ALLOC_CONF = 'max_split_size_mb:0'}", "it should be settings with their values"),
        ("{PYTORCH_ALLOC_CONF = ''}", "it should be settings with their values"),
        ("{PYTORCH_CUDA_ALLOC_CONF = 'x'}", "which torch calls PYTORCH_ALLOC_CONF now"),
        (
            "{PYTORCH_ALLOC_CONF = 'backend:cudaMallocAsync'}",
            "export PYTORCH_ALLOC_CONF=backend:cudaMallocAsync before",
        ),
        ("{CUBLAS_WORKSPACE_CONFIG = '4096'}", "as in :4096:8"),
        ("{NCCL_P2P_LEVEL = 3.5}", "it should be one of LOC"),
        ("3", "write it as {NCCL_P2P_DISABLE = 1}"),
        ("{NCCL_P2P_DISABLE = 1}", "NCCL_P2P_DISABLE acts between GPUs, and gpus = 1; drop it"),
    ],
)
def test_what_would_have_no_effect_is_refused_in_one_line(table: str, words: str, planned: Callable[..., Plan]) -> None:
    with pytest.raises(RequestError) as caught:
        planned(f"environment = {table}")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_as_a_flag_the_settings_of_the_allocator_stay_together() -> None:
    typed = "PYTORCH_ALLOC_CONF=expandable_segments:True,max_split_size_mb:128,CUDA_LAUNCH_BLOCKING=1"
    assert value_typed("environment", typed) == {
        "PYTORCH_ALLOC_CONF": "expandable_segments:True,max_split_size_mb:128", "CUDA_LAUNCH_BLOCKING": 1
    }  # fmt: skip


def test_a_variable_of_the_shell_that_would_hide_one_of_a_cell_is_refused(planned: Callable[..., Plan]) -> None:
    cells = planned('environment = {PYTORCH_ALLOC_CONF = "expandable_segments:True"}').cells
    shell = {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}
    with pytest.raises(RequestError, match="unset PYTORCH_CUDA_ALLOC_CONF"):
        refuse_hidden(cells, shell)
    refuse_hidden(cells, {})
    refuse_hidden(planned().cells, shell)


@pytest.mark.whole
def test_torch_reads_the_allocators_settings_after_it_was_loaded_but_its_backend_before() -> None:
    values = {"expandable_segments": "True", "garbage_collection_threshold": "0.8", "roundup_power2_divisions": "4"}
    text = ",".join(f"{name}:{values.get(name, '64')}" for name in ALLOCATOR_SETTINGS)
    code = (
        "import os, torch, json\n"
        "known = hasattr(torch._C, '_accelerator_getAllocatorSettings')\n"
        f"os.environ['PYTORCH_ALLOC_CONF'] = {text!r} + ',backend:cudaMallocAsync'\n"
        "settings = torch._C._accelerator_getAllocatorSettings() if known else None\n"
        "backend = torch.cuda.memory.get_allocator_backend() if torch.backends.cuda.is_built() else None\n"
        "print(json.dumps([settings, backend]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    settings, backend = json.loads(done.stdout)
    if settings is None or backend is None:
        pytest.skip("this torch has no CUDA, or does not tell its allocator's settings")
    assert settings.startswith(text)
    assert backend == "native"


@pytest.mark.whole
def test_a_worker_has_the_variables_of_its_cell_and_its_row_records_them(tmp_path: Path) -> None:
    file = tmp_path / "variables.toml"
    file.write_text(EXPERIMENT.format(axis="environment = [{}, {CUDA_LAUNCH_BLOCKING = 1}]", fixed="epochs = 1"))
    environ = {name: value for name, value in os.environ.items() if name != "CUDA_LAUNCH_BLOCKING"}
    command = [sys.executable, "bench/run_matrix.py", str(file), "--results", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, env=environ, check=True, capture_output=True)
    rows = pq.read_table(tmp_path / "variables" / "cells.parquet").to_pylist()
    found = {row["environment"]: json.loads(row["switches"]).get("CUDA_LAUNCH_BLOCKING") for row in rows}
    assert found == {None: None, '{"CUDA_LAUNCH_BLOCKING": "1"}': "1"}
