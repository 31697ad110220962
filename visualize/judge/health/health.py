"""What spoils a number: what the records say of how it was measured, one concern each.

A concern that spoils a claim takes the advice away that would rest on it; the others are only to be known. Limits are
of this file, each beside its reason, or of ampbench/schema/diagnosis.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator

import pandas as pd

from ampbench.schema.diagnosis.board import HELD_DOWN, INVALID
from ampbench.schema.diagnosis.training import SKIPPED
from ampbench.schema.learned import is_above_guessing
from ampbench.schema.margins import LEAST_TEST_IMAGES
from ampbench.visualize.judge.concern import ACCURACY, SPEED, Concern, known, of_runs
from ampbench.visualize.judge.health.beyond_accuracy import concerns_beyond_accuracy
from ampbench.visualize.judge.health.comparable import concerns_of_pairs
from ampbench.visualize.judge.runs.outliers import Outlier
from ampbench.visualize.judge.runs.pairs import SAME_CELL, accuracies, positive
from ampbench.visualize.judge.verdict.verdict import Verdict
from ampbench.visualize.read.peaks import INSTRUMENT

BARELY = 0.05
"""Share of the way from guessing to no error: 14.5 % of 10 classes. A reference that learned no more vouches for
nobody, because a recipe that learns nothing ends as near to it as one that learns as well."""
NOTICED = 0.02
"""Share of skipped updates, and of outliers among the timing samples, that is worth a word."""
PARTS = re.compile(r"(?:^|; )no ([^:;]+):")
"""What is missing, in the column `passes_failed`: `no count of operations: RuntimeError: …; no phases: …`."""

ALWAYS = ("status", "epochs", "images_per_s", "test_accuracy", INSTRUMENT)
# fmt: off
COLUMNS = (
    *ALWAYS, "foreign_processes", "thermal_violation_share", "reliability_violation_share", "power_violation_share",
    "num_invalid_blocks", "num_blocks", "clock_tags", "no_speed_because", "threads_used", "num_cores", "warmup_steady",
    "timing_stop", "num_outliers", "num_skipped", "num_steps", "learned", "num_classes", "num_test_images",
    "learning_note", "num_resumes", "passes_failed", "time_to_accuracy_s", "order", "started_at", "git_commit",
    "git_dirty", "host", "board", "macro_recall", "test_loss", *SAME_CELL,
)
# fmt: on
"""What is read of a cell."""


def concerns_of(
    cells: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    verdict: Verdict | None = None,
    outliers: Collection[Outlier] = (),
) -> tuple[Concern, ...]:
    """Return what a reader must know of the numbers of one recipe, subject and batch size, the worst first.

    Args:
        cells: of the recipe.
        reference: cells of the reference; None for the reference itself.
        verdict: of the recipe against the reference.
        outliers: among its processes.
    """
    ok = cells[cells["status"] == "ok"]
    if ok.empty:
        return ()
    theirs = reference[reference["status"] == "ok"] if reference is not None else ok[:0]
    found = [
        *_board(ok),
        *_speeds(ok, theirs),
        *_steps(ok),
        *_learning(ok, theirs),
        *concerns_of_pairs(ok, theirs, verdict),
        *_others(ok),
    ]
    lost = cells[~cells["status"].isin(["ok", "excluded", "unsupported"])]["status"]
    if reference is None and len(lost):
        found.append(Concern(text=f"{of_runs(len(lost), cells)} did not end well ({lost.mode().iloc[0]})"))
    found += [
        Concern(text=f"{o.which} ran {o.times:.2g}x as fast as the others", next_move=o.next_move) for o in outliers
    ]
    return tuple(sorted(found, key=lambda concern: not concern.spoils))


def _board(ok: pd.DataFrame) -> Iterator[Concern]:
    shared = int(known(ok, "foreign_processes").gt(0).sum())
    if shared:
        text = f"the board was shared with other processes in {of_runs(shared, ok)}"
        yield Concern(text=text, spoils=SPEED, next_move="stop them and run it again")
    limits = {"thermal": "the thermal limit", "reliability": "the voltage limit", "power": "the power cap"}
    for name, what in limits.items():
        share = known(ok, f"{name}_violation_share")
        if len(share) and share.max() >= HELD_DOWN:
            capped = name == "power"  # a board's normal state under a heavy load: the limit is part of the machine
            yield Concern(
                text=f"{100 * share.max():.0f} % of the time at {what}",
                spoils=frozenset() if capped else SPEED,
                next_move="" if capped else "let the board cool and run it again",
            )
    invalid, valid = known(ok, "num_invalid_blocks").sum(), known(ok, "num_blocks").sum()
    if invalid:
        share = invalid / (invalid + valid)
        text = f"{100 * share:.0f} % of the timing samples lost because the board slowed down"
        yield Concern(text=text, spoils=SPEED if share >= INVALID else frozenset(), next_move="run it again")
    tags = sorted({str(tag) for tag in known(ok, "clock_tags")} - {"none", ""})
    if tags:
        yield Concern(text=f"clocks held down by {', '.join(tags)}")


def _speeds(ok: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[Concern]:
    without = len(ok) - len(positive(ok["images_per_s"]))
    if without:
        why = next((f" ({reason})" for reason in known(ok, "no_speed_because")), "")
        yield Concern(text=f"no speed in {of_runs(without, ok)}{why}", spoils=SPEED, next_move="run it again")
    threads, peers = (known(cells, "threads_used").unique() for cells in (ok, theirs))
    if len(threads) and len(peers) and set(threads) != set(peers):
        used, by = (" or ".join(f"{n:.0f}" for n in sorted(these)) for these in (threads, peers))
        yield Concern(
            text=f"{used} threads, and {by} in the reference", spoils=SPEED, next_move="run both with one num_threads"
        )
    if len(threads) and threads.max() > known(ok, "num_cores").min():
        yield Concern(
            text=f"{threads.max():.0f} threads on {known(ok, 'num_cores').min():.0f} cores",
            spoils=SPEED,
            next_move="set num_threads",
        )
    unsteady = int(known(ok, "warmup_steady").eq(False).sum())
    if unsteady:
        yield Concern(
            text=f"not yet steady when timing began in {of_runs(unsteady, ok)}", next_move="raise max_warmup_s"
        )
    capped = int(known(ok, "timing_stop").eq("capped").sum())
    if capped:
        yield Concern(text=f"timing ended at its time limit in {of_runs(capped, ok)}", next_move="raise max_timing_s")
    outliers, blocks = known(ok, "num_outliers").sum(), known(ok, "num_blocks").sum()
    if blocks and outliers / blocks >= NOTICED:
        yield Concern(text=f"{100 * outliers / blocks:.0f} % of the timing samples lie far out")


def _steps(ok: pd.DataFrame) -> Iterator[Concern]:
    skipped, steps = known(ok, "num_skipped"), known(ok, "num_steps")
    shares = (skipped / steps[steps > 0]).dropna()
    lost = int(skipped.drop(shares.index).gt(0).sum())
    if lost:
        yield Concern(
            text=f"updates skipped in {of_runs(lost, ok)}, and the number of steps is not known",
            spoils=SPEED | {"numbers"},
            next_move="run it again",
        )
    worst = shares.max() if len(shares) else 0.0  # the mean would hide one run among many
    if worst >= NOTICED:
        spoils = worst >= SKIPPED
        yield Concern(
            text=f"{'up to ' if len(shares) > 1 and worst > shares.min() else ''}{100 * worst:.0f} % of the updates "
            "skipped after an overflow",
            spoils=SPEED | {"numbers"} if spoils else frozenset(),
            next_move="lower the loss scale" if spoils else "",
        )


def _learning(ok: pd.DataFrame, theirs: pd.DataFrame) -> Iterator[Concern]:
    trained = ok[ok["epochs"] > 0]
    if trained.empty:
        return
    guessed = int(sum(_learned_nothing(cell) for _, cell in trained.iterrows()))
    if guessed:
        whose = "" if len(theirs) else ", so it vouches for nobody"
        yield Concern(
            text=f"{of_runs(guessed, trained)} learned nothing{whose}",
            spoils=ACCURACY,
            next_move="mend the training first",
        )
    little = _reached(trained) if theirs.empty and not guessed else pd.Series(dtype=float)
    if little.lt(BARELY).any():
        some = of_runs(int(little.lt(BARELY).sum()), trained)
        yield Concern(
            text=f"{some} learned hardly more than guessing, so it vouches for nobody",
            spoils=ACCURACY,
            next_move="train it for longer first",
        )
    never = int(trained["time_to_accuracy_s"].isna().sum()) if "time_to_accuracy_s" in trained else 0
    if 0 < never < len(trained) or (never and len(known(theirs, "time_to_accuracy_s"))):
        text = f"the accuracy that was asked for never reached in {of_runs(never, trained)}"
        yield Concern(text=text, spoils=frozenset({"time"}))
    if known(trained, "num_test_images").empty and accuracies(trained).notna().any():
        yield Concern(text=f"the size of the test set is not known, and taken to be {LEAST_TEST_IMAGES} images")
    missing = int(accuracies(trained).isna().sum())
    if missing and (missing < len(trained) or accuracies(theirs).notna().any()):
        text = f"no test accuracy in {of_runs(missing, trained)}"
        yield Concern(text=text, spoils=ACCURACY, next_move="run it again, or see its log.txt")
    yield from concerns_beyond_accuracy(trained, theirs)
    noted = known(trained, "learning_note")
    noted = noted[~noted.str.contains("learned nothing")]
    if len(noted):
        alone = len(theirs) > 0 and known(theirs, "learning_note").empty
        yield Concern(
            text=f"{noted.iloc[0].partition(':')[0].partition(';')[0]} in {of_runs(len(noted), trained)}",
            spoils=ACCURACY if alone else frozenset(),
            next_move="try a smaller learning rate",
        )


def _reached(trained: pd.DataFrame) -> pd.Series:
    """Return how far each training came on the way from guessing (0) to no error (1), where that is known."""
    guessing = 1 / pd.to_numeric(known(trained, "num_classes"))
    found = accuracies(trained)
    if "macro_recall" in trained:  # where classes differ in size, the largest alone is a high accuracy
        found = trained["macro_recall"].astype(float).fillna(found)
    return ((found - guessing) / (1 - guessing)).dropna()


def _others(ok: pd.DataFrame) -> Iterator[Concern]:
    resumed = int(known(ok, "num_resumes").gt(0).sum())
    if resumed:
        yield Concern(text=f"{of_runs(resumed, ok)} resumed from a checkpoint")
    if ok[INSTRUMENT].nunique() > 1:
        yield Concern(text="memory by two instruments", spoils=frozenset({"memory"}))
    failed = known(ok, "passes_failed")
    parts = Counter(part for said in failed for part in set(PARTS.findall(str(said))) or {"values of some columns"})
    for part, number in parts.items():
        yield Concern(text=f"no {part} in {of_runs(number, ok)}")


def _learned_nothing(cell: pd.Series) -> bool:
    """Whether a training is no better than guessing, by its record; the rule is applied here to older records."""
    if pd.notna(learned := cell.get("learned")):
        return not learned
    known_of = [cell.get(name) for name in ("test_accuracy", "num_classes", "num_test_images")]
    if any(value is None or pd.isna(value) for value in known_of):
        return False
    accuracy, num_classes, num_images = known_of
    recall = cell.get("macro_recall")
    found = accuracy if recall is None or pd.isna(recall) else recall
    return not is_above_guessing(float(found), int(num_classes), int(num_images))


def recorded(cells: pd.DataFrame) -> pd.DataFrame:
    """Return what `concerns_of` reads of cells, without columns that hold nothing: a small frame is cheap to slice."""
    some = cells[[name for name in COLUMNS if name in cells]]
    return some.drop(columns=[name for name in some if name not in ALWAYS and some[name].isna().all()])
