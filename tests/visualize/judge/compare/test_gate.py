"""Gates: a limit that the whole interval exceeds fails a build; an undecided one does not."""

from __future__ import annotations

import pytest

from ampbench.visualize.judge.compare import gate
from ampbench.visualize.read.files import ResultsError
from tests.visualize.judge.conftest import only


def test_a_tenth_slower_is_slower_and_fails_the_build(write, run):
    a, b = write("a"), write("b", 0.9)
    done = run(a, b, "--format", "json", "--fail-on", "slower>2%")
    assert (done.exit_code, only(done)["speed"]) == (1, "slower")
    assert only(done)["ratio"] == pytest.approx(0.9, rel=0.02)
    assert "--fail-on slower>2%: established for VGG19 cifar10 batch 128 fp32 (0.9" in done.stderr
    assert run(a, b, "--fail-on", "slower>20%").exit_code == 0
    back = run(b, a, "--format", "json", "--fail-on", "slower>2%")
    assert (back.exit_code, only(back)["speed"]) == (0, "faster")
    assert back.stderr == ""


def test_what_the_interval_leaves_open_fails_nothing_and_is_said(write, run):
    done = run(write("a", noise=0.3), write("b", 0.9, noise=0.3), "--fail-on", "slower>2%")
    assert done.exit_code == 0
    assert "--fail-on slower>2%: can't tell, so no failure, for VGG19" in done.stderr


def test_memory_and_accuracy_have_gates_of_their_own(write, run):
    a, b = write("a", steady_peak_bytes=1000 * 2**20), write("b", steady_peak_bytes=1100 * 2**20)
    assert run(a, b, "--fail-on", "memory>5%").exit_code == 1
    assert run(a, b, "--fail-on", "memory>10%").exit_code == 0
    c = write("c", recipes=("bf16",))
    done = run(a, c, "--a", "precision=fp32", "--b", "precision=bf16", "--fail-on", "accuracy<-0.5", "--format", "json")
    assert (done.exit_code, only(done)["accuracy"]) == (1, "worse")
    assert only(done)["points"] == pytest.approx(-2, abs=0.5)
    assert run(a, b, "--fail-on", "accuracy<-0.5").exit_code == 0
    timed = [write(name, epochs=0) for name in ("d", "e")]
    assert "can't tell, so no failure, for VGG19 cifar10 batch 128 fp32 (not measured)" in (
        run(*timed, "--fail-on", "accuracy<-0.5").stderr
    )


@pytest.mark.parametrize(
    "text", ["slower>2", "slower<2%", "faster>2%", "slower>2%x", "slower>-2%", "accuracy<0.5", "memory>", ""]
)
def test_a_gate_that_is_written_otherwise_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(ResultsError, match=r"write slower>2%, memory>5% or accuracy<-0.5"):
        gate.parse(text)


@pytest.mark.parametrize("text", ["slower>0.5%", "slower>100%", "accuracy<-0.1"])
def test_a_gate_within_what_counts_as_same_is_refused(text):
    with pytest.raises(ResultsError, match="takes a limit from"):
        gate.parse(text)
