"""Weights & Biases: what is logged there of a run, and that the line for the user is true, whatever the server does."""

from __future__ import annotations

import json
import secrets
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ampbench.bench.plan.cell import Cell
from ampbench.bench.sinks.logged import Mark
from ampbench.bench.sinks.sink import SINKS
from ampbench.bench.sinks.story import Story
from tests.bench.sinks.leveldb import read_records
from tests.bench.sinks.processes import nothing_is_left, time_is_up_when
from tests.bench.sinks.sample import CELLS, EPOCHS, PATIENCE_S, RUNS, write_experiment
from tests.bench.sinks.stand_in import REFUSED, SYNC

pytestmark = pytest.mark.whole

WANDB = SINKS["wandb"]

# wandb itself, as installed


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Publish without a key, to a server that must not hear of it; return the experiment's folder and the line."""
    pytest.importorskip("wandb.proto.wandb_internal_pb2", reason="pip install wandb")
    folder = write_experiment(tmp_path_factory.mktemp("keyless") / "quick")
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        line = WANDB.publish(folder, RUNS, timeout_s=PATIENCE_S)
        assert not select.select([server], [], [], 0)[0], "a connection was opened"
    return folder, line


def read_wandb(folder: Path, cell: Cell) -> dict[str, list[Any]]:
    """Read back what was logged, by kind."""
    message = pytest.importorskip("wandb.proto.wandb_internal_pb2").Record
    [path] = folder.glob(f"wandb/offline-run-*-{cell.cell_id}/*.wandb")
    return read_records(path, message)


def plain(items: Any) -> dict[str, Any]:
    """Return keys and values, less wandb's own `_step`, `_runtime` and `_timestamp`."""
    pairs = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}
    return {key: value for key, value in pairs.items() if not key.startswith("_")}


def test_without_a_key_the_runs_are_on_disk_and_the_line_names_the_next_moves(keyless: tuple[Path, str]) -> None:
    folder, line = keyless
    assert len(list(folder.glob("wandb/offline-run-*/*.wandb"))) == 2
    assert line.startswith("W&B: 2 of 2 runs logged in ")
    assert "0 synced to http://127.0.0.1" in line
    assert "`wandb login` to log in. Next: wandb sync " in line
    assert line.endswith("/quick/wandb/offline-run-*")
    assert nothing_is_left()


def test_the_measured_columns_of_each_epoch_arrive_over_the_epochs(keyless: tuple[Path, str]) -> None:
    records = read_wandb(keyless[0], CELLS[0])
    for row, epoch in zip(records["history"], EPOCHS, strict=True):
        wanted = {"epoch": epoch["epoch"]} | {f"epoch/{k}": v for k, v in epoch.items() if k != "epoch"}
        assert plain(row.item) == pytest.approx(wanted, nan_ok=True)
    axes = {metric.glob_name: metric.step_metric for metric in records["metric"] if metric.glob_name}
    assert axes == {"live/*": "step", "epoch/*": "epoch", "step/*": "step", "block/*": "block"}


@pytest.mark.parametrize(("cell", "status"), [(CELLS[0], "ok"), (CELLS[1], "crashed")], ids=["ok", "crashed"])
def test_a_run_carries_its_cell_and_its_record_however_it_ended(
    cell: Cell, status: str, keyless: tuple[Path, str]
) -> None:
    records = read_wandb(keyless[0], cell)
    run = records["run"][0]
    summary: dict[str, Any] = {}
    for update in records["summary"]:
        summary |= plain(update.update)
    assert (run.run_group, run.display_name) == (cell.group_id, cell.study_name)
    assert run.run_id == Story.of(keyless[0], cell.run_folder).run_id
    assert run.project == "ampbench-quick"
    assert plain(run.config.update) == json.loads(json.dumps(cell.to_json()))
    assert summary["status"] == status
    assert summary["started_at"].startswith("2024-05-17")
    assert summary.get("images_per_s") == (1234.5 if status == "ok" else None)
    assert "peak_reserved_bytes" not in summary, "null is not logged"
    assert summary["machine"] == "AMD EPYC, 2 cores"
    assert "host" not in summary, "a machine's name in its own network stays there"
    assert (records["exit"][0].exit_code == 0) == (status == "ok")


@pytest.mark.parametrize("server", ["mute", "dead"])
def test_a_server_that_does_not_answer_costs_no_data_and_leaves_no_process(
    server: str, keyless: tuple[Path, str], experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key := secrets.token_hex(20))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:  # the kernel takes connections for it
        monkeypatch.setenv("WANDB_BASE_URL", url := f"http://127.0.0.1:{listener.getsockname()[1]}")
        if server == "mute":
            running = time_is_up_when(lambda: select.select([listener], [], [], 0)[0], monkeypatch)
        else:
            listener.close()
            running = time_is_up_when(lambda: [*experiment.glob("wandb/logs/debug-sync*.log")], monkeypatch)
        line = WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)

    assert any("wandb-core" in command for command in running)
    assert nothing_is_left()
    assert f"quick/wandb, not synced: {url} left `wandb sync` without an answer. Next: wandb sync" in line
    for cell in CELLS:
        assert read_wandb(experiment, cell).keys() == read_wandb(keyless[0], cell).keys()
    assert not [path for path in experiment.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


# A stand-in for wandb: what it does is known, and importing it takes no time


@pytest.mark.parametrize(
    ("mode", "sync", "said"),
    [
        ("online", SYNC, " and synced to http://stand.in."),
        ("online", REFUSED, ", 0 synced to http://stand.in: wandb: ERROR permission denied. Next: wandb sync "),
        ("offline", SYNC, ", not synced: WANDB_MODE is offline. Next: wandb sync quick/wandb/offline-run-*"),
    ],
    ids=["synced", "refused", "offline"],
)
def test_synced_means_that_every_run_was_marked(
    mode: str, sync: str, said: str, experiment: Path, stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(sync=sync)
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.chdir(experiment.parent)
    line = WANDB.publish(Path("quick"), RUNS, timeout_s=PATIENCE_S)
    assert line.startswith(f"W&B: 2 of 2 runs logged in quick/wandb{said}")


def test_one_unreadable_run_does_not_silence_the_others(experiment: Path, stand_in: Callable[..., None]) -> None:
    stand_in()
    (experiment / "runs" / RUNS[0] / "record.parquet").unlink()
    line = WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert "1 of 2 runs logged" in line
    assert f"({RUNS[0]}: FileNotFoundError" in line


def test_two_machines_or_boards_do_not_share_a_run(monkeypatch: pytest.MonkeyPatch, experiment: Path) -> None:
    ids = []
    for name in ("node1", "node2", "node1"):
        monkeypatch.setattr("platform.node", lambda name=name: name)
        ids.append(Story.of(experiment, RUNS[0]).run_id)
    assert ids[0] == ids[2] != ids[1]
    file = experiment / "runs" / RUNS[0] / "cell.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"board": {"name": "NVIDIA L4"}}))
    assert Story.of(experiment, RUNS[0]).run_id not in ids


RECORDING = """
    import json, os, pathlib
    pathlib.Path(dir, "said.jsonl").open("a").write(json.dumps({k: str(v) for k, v in _.items()}) + chr(10))"""


def test_project_and_entity_are_the_environments(
    experiment: Path, stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(init=RECORDING)
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    monkeypatch.setenv("WANDB_ENTITY", "us")
    assert "2 of 2 runs logged" in WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    said = [json.loads(line) for line in (experiment / "said.jsonl").read_text().splitlines()]
    assert [(one["project"], one["entity"]) for one in said] == [("ours", "us")] * 2


def test_disabled_logs_nothing(
    experiment: Path, stand_in: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S) == "W&B: nothing logged: WANDB_MODE is disabled"
    assert not (experiment / "wandb").exists()


PICKY = """import pathlib, sys
bad = [path for path in sys.argv[2:] if path.endswith(BAD)]
if bad:
    sys.exit("wandb: ERROR " + bad[0])
for path in sys.argv[2:]:
    pathlib.Path(path, "run.wandb.synced").touch()"""


def test_one_run_that_the_server_refuses_stops_no_other(experiment: Path, stand_in: Callable[..., None]) -> None:
    stand_in(sync=PICKY.replace("BAD", repr(CELLS[0].cell_id)))
    line = WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert "2 of 2 runs logged" in line
    assert ", 1 synced to http://stand.in" in line


def test_a_run_that_breaks_while_it_is_logged_is_left_out_and_the_next_is_whole(
    keyless: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With wandb itself, whose `init` returns the run that is still open."""
    folder = write_experiment(tmp_path / "quick")
    epochs = folder / "runs" / RUNS[0] / "epochs.parquet"
    pq.write_table(pa.table({"cell_id": ["x"], "epoch": ["no number"], "loss": [1.0]}), epochs)
    monkeypatch.setenv("WANDB_MODE", "offline")
    line = WANDB.publish(folder, RUNS, timeout_s=PATIENCE_S)
    assert "1 of 2 runs logged" in line, line
    assert not Mark.read(folder, "wandb", RUNS[0])
    assert not list(folder.glob(f"wandb/*{CELLS[0].cell_id}"))
    assert read_wandb(folder, CELLS[1])["run"][0].run_group == CELLS[1].group_id


def test_a_missing_wandb_names_the_command_that_installs_it(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wandb.py").write_text("raise ModuleNotFoundError(\"No module named 'wandb'\")")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    line = WANDB.publish(experiment, RUNS, timeout_s=PATIENCE_S)
    assert line == "W&B: nothing logged: ModuleNotFoundError: No module named 'wandb'. Next: pip install wandb"
