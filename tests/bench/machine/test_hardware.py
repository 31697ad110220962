"""The hardware report on machines that are made up: no GPU, one, unlike ones, eight, a slice; CPUs; containers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ampbench.bench.machine.cpu import read_cpu
from ampbench.bench.machine.hardware import Hardware, find_hardware
from ampbench.bench.machine.limits import read_limits
from ampbench.bench.machine.report import as_json, one_line, report
from tests.conftest import ROOT
from tests.support.machines import DIVIDED, EIGHT_OF_80_GB, GIB, NO_GPU, ONE_OF_8_GB, STUDY_S4, FakeDriver, kernel
from tests.support.stand_in_gpu import with_gpus


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def hardware(driver: FakeDriver, root: Path, gpus: str | None = None, **environ: str) -> Hardware:
    return find_hardware(environ, gpus=gpus, library=driver, root=root)


def test_a_machine_without_a_gpu_is_one_line_and_says_why(tmp_path: Path, two_cores: None) -> None:
    found = hardware(NO_GPU, kernel(tmp_path, memory_gib=24))
    assert one_line(found) == "AMD EPYC, 2 cores, 24 GiB; bf16 (avx512_bf16), no fp16, no tf32"
    assert "none is used: NVML does not start: Driver Not Loaded" in "\n".join(report(found))
    assert (found.tier, found.gpu_memory_gb) == ("small", 0)


def test_a_board_of_8_gb_before_ampere_has_neither_bf16_nor_tf32(tmp_path: Path) -> None:
    found = hardware(ONE_OF_8_GB, kernel(tmp_path))
    assert found.gpus[0].abilities == ("fp16",)
    assert one_line(found) == ("NVIDIA GeForce RTX 2070, 8 GiB; compute capability 7.5: fp16, no bf16, no tf32, no fp8")
    assert found.tier == "small"


def test_of_unlike_boards_the_most_common_model_is_used_and_the_rest_is_named_with_the_reason(tmp_path: Path) -> None:
    """Study S4's machine: the two 3090s, the first of which, cuda:1, is the master."""
    found = hardware(STUDY_S4, kernel(tmp_path))
    assert [gpu.index for gpu in found.gpus] == [1, 2]
    text = "\n".join(report(found))
    assert "led by GPU 1, NVIDIA GeForce RTX 3090" in text
    assert "ignored  GPU 0, NVIDIA RTX A6000, 48 GiB: of another model than NVIDIA GeForce RTX 3090" in text
    assert found.gpu_memory_gb == pytest.approx(51.5, abs=0.1)
    assert found.tier == "middle"


def test_eight_boards_of_80_gb_are_the_large_tier_and_multiply_every_type(tmp_path: Path) -> None:
    found = hardware(EIGHT_OF_80_GB, kernel(tmp_path, **{"sys__bus__pci__devices__0000:3b:00.0__numa_node": "1\n"}))
    assert one_line(found) == (
        "8x NVIDIA H100 80GB HBM3, 637 GiB in all; compute capability 9.0: fp16, bf16, tf32, fp8"
    )
    assert [gpu.numa_node for gpu in found.gpus] == [None, 1, *[None] * 6]
    assert (found.tier, found.gpus[0].driver, found.gpus[0].cuda) == ("large", "580.65", "13.0")


def test_a_mig_slice_has_its_own_memory_and_its_boards_capability(tmp_path: Path) -> None:
    found = hardware(DIVIDED, kernel(tmp_path), CUDA_VISIBLE_DEVICES="MIG-cc")
    (slice_,) = found.gpus
    assert (slice_.memory_bytes, slice_.capability) == (int(9.75 * GIB), (8, 0))
    assert "MIG slice, NVIDIA A100-SXM4-80GB MIG 1g.10gb" in "\n".join(report(found))


def test_a_divided_board_without_a_chosen_slice_is_ignored_with_what_to_set(tmp_path: Path) -> None:
    found = hardware(DIVIDED, kernel(tmp_path))
    assert not found.gpus
    assert "CUDA_VISIBLE_DEVICES=MIG-" in found.ignored[0].because
    assert "CUDA_VISIBLE_DEVICES=MIG-" in str(found.no_gpu_because)


def test_hidden_boards_and_boards_not_chosen_are_named_with_the_reason(tmp_path: Path) -> None:
    hidden = hardware(STUDY_S4, kernel(tmp_path), CUDA_VISIBLE_DEVICES="")
    assert [one.because for one in hidden.ignored] == ["hidden by CUDA_VISIBLE_DEVICES="] * 3
    assert hidden.no_gpu_because == "hidden by CUDA_VISIBLE_DEVICES="
    chosen = hardware(STUDY_S4, tmp_path, gpus="0")
    assert [gpu.index for gpu in chosen.gpus] == [0]
    assert {one.because for one in chosen.ignored} == {"--gpus does not choose it"}


def test_a_board_that_does_not_exist_is_said_and_nothing_is_raised(tmp_path: Path) -> None:
    found = hardware(STUDY_S4, kernel(tmp_path), CUDA_VISIBLE_DEVICES="7")
    assert "no GPU '7'" in str(found.no_gpu_because)
    assert any("no GPU '7'" in line for line in report(found))


@pytest.mark.parametrize(
    ("flags", "bf16", "fp16", "words"),
    [
        ("fpu avx2", False, False, ("no bf16", "no fp16")),
        ("avx512_bf16 avx512_fp16", True, False, ("bf16 (avx512_bf16)", "fp16 slow (avx512_fp16)")),
        ("avx512_bf16 amx_bf16 amx_fp16", True, None, ("bf16 (amx_bf16 avx512_bf16)", "fp16 (amx_fp16), not measured")),
        ("avx2 avx_ne_convert", False, False, ("bf16 slow (avx_ne_convert)", "no fp16")),
    ],
)
def test_a_type_is_called_fast_only_where_a_training_was_measured_to_be(
    tmp_path: Path, flags: str, bf16: bool | None, fp16: bool | None, words: tuple[str, str]
) -> None:
    cpu = read_cpu(kernel(tmp_path, flags=flags))
    assert (cpu.is_fast_in("bf16"), cpu.is_fast_in("fp16")) == (bf16, fp16)
    assert (cpu.words_for("bf16"), cpu.words_for("fp16")) == words


def test_an_arm_cpu_tells_its_types_under_features(tmp_path: Path) -> None:
    kernel(tmp_path, proc__cpuinfo="processor: 0\nFeatures\t: fp asimd fphp asimdhp bf16\n")
    cpu = read_cpu(tmp_path)
    assert [extension.flag for extension in cpu.extensions] == ["bf16", "asimdhp"]
    assert cpu.is_fast_in("bf16") is None, "nobody has measured it"


def test_a_container_of_4_gib_on_a_machine_of_64_is_told_by_both_versions_of_control_groups(tmp_path: Path) -> None:
    new = kernel(
        tmp_path / "v2",
        cgroup="0::/pod/box\n",
        **{
            "sys__fs__cgroup__pod__memory.max": f"{4 * GIB}\n",
            "sys__fs__cgroup__pod__memory.current": f"{3 * GIB}\n",
            "sys__fs__cgroup__pod__memory.stat": f"anon 5\ninactive_file {GIB // 2}\nactive_file {GIB // 2}\n",
            "sys__fs__cgroup__pod__box__memory.max": "max\n",
            "sys__fs__cgroup__pod__box__cpu.max": "150000 100000\n",
        },
    )
    limits = read_limits(new)
    assert (limits.memory_bytes, limits.memory_left_bytes, limits.num_cores) == (4 * GIB, 2 * GIB, 1.5)
    old = kernel(
        tmp_path / "v1",
        cgroup="5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n",
        **{  # the host's path is not there inside: the group is mounted as the root
            "sys__fs__cgroup__memory__memory.limit_in_bytes": f"{4 * GIB}\n",
            "sys__fs__cgroup__memory__memory.usage_in_bytes": f"{GIB}\n",
            "sys__fs__cgroup__cpu,cpuacct__cpu.cfs_quota_us": "200000\n",
            "sys__fs__cgroup__cpu,cpuacct__cpu.cfs_period_us": "100000\n",
        },
    )
    limits = read_limits(old)
    assert (limits.memory_bytes, limits.memory_left_bytes, limits.num_cores) == (4 * GIB, 3 * GIB, 2.0)


def test_no_limit_is_none_in_both_versions(tmp_path: Path) -> None:
    free = kernel(
        tmp_path,
        cgroup="5:memory:/\n4:cpu:/\n0::/\n",
        **{
            "sys__fs__cgroup__memory__memory.limit_in_bytes": "9223372036854771712\n",
            "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1\n",
            "sys__fs__cgroup__cpu.max": "max 100000\n",
        },
    )
    assert read_limits(free) == read_limits(tmp_path / "nothing here")
    assert read_limits(free).memory_bytes is None


def test_what_a_program_may_use_is_the_limit_and_not_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    limited = {"sys__fs__cgroup__memory.max": f"{4 * GIB}", "sys__fs__cgroup__cpu.max": "250000 100000"}
    found = hardware(NO_GPU, kernel(tmp_path, nodes=("0-15,32-47", "16-31,48-63"), **limited))
    assert (found.usable_cores, found.usable_memory_bytes) == (2, 4 * GIB)
    assert one_line(found).startswith("AMD EPYC, 2 cores, 4 GiB;")
    text = "\n".join(report(found))
    assert "32 cores of 64, 2 NUMA nodes of 32 and 32 cores" in text
    assert "limited to 2.5 of them by its control group: set num_threads = 2" in text
    assert "limited to 4 GiB by its control group" in text


def test_disks_are_those_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    places = {"results": tmp_path / "not" / "yet"}
    (disk,) = find_hardware({}, places=places, library=NO_GPU, root=kernel(tmp_path)).disks
    assert disk.total_bytes >= disk.free_bytes > 0
    assert disk.path == tmp_path / "not" / "yet"


def test_as_data_it_is_json_with_what_follows_from_it(tmp_path: Path, two_cores: None) -> None:
    said = json.loads(json.dumps(as_json(hardware(STUDY_S4, kernel(tmp_path)))))
    assert said["summary"].startswith("2x NVIDIA GeForce RTX 3090")
    assert said["gpus"][0]["abilities"] == ["fp16", "bf16", "tf32"]
    assert (said["tier"], said["fast_16_bit"], said["usable_cores"]) == ("middle", ["bf16"], 2)


@pytest.mark.parametrize("gpus", [(), ("NVIDIA H200", "NVIDIA H200")])
def test_the_command_reports_without_torch_and_without_cuda(tmp_path: Path, gpus: tuple[str, ...]) -> None:
    log = tmp_path / "log"
    log.touch()
    environ = with_gpus(*gpus, log=log) if gpus else dict(os.environ)
    code = "import sys; from ampbench.bench.hardware import main; main(results=None); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("2x NVIDIA H200" in done.stdout) == bool(gpus)
    assert "cuInit" not in log.read_text()
