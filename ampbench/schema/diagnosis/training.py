"""What goes wrong in a training: it diverges, learns nothing, swings, loses what it learned, or stands still."""

from __future__ import annotations

import math

from ampbench.schema.diagnosis.found import Diagnosis, Records, Rows
from ampbench.schema.learned import broke_down, growth_words, is_above_guessing, nothing_learned, swing_words

UNMOVED = 0.5
"""Share of the weights that a step leaves unchanged from which rounding removes the training of most of them: nearest
rounding of 16-bit weights is what costs their accuracy (Zamirai et al., 2020, "Revisiting BFloat16 Training")."""

STILL = 0.02
"""Share of its first value by which a training loss must move, or else the network stood still."""

AT_GUESSING, ABOVE_GUESSING = 0.97, 1.01
"""Training loss over that of guessing among K classes, ln K, from which a training is no better than it, and from which
it is worse: outputs that are far from 0 and wrong. LeNet on digits ended between 1.00 and 1.07 at rates of 10 to 50
times one that trains it. A model's own loss may have another scale."""

SKIPPED = 0.2
"""Share of skipped updates from which a training is not what its speed says, and may not learn: GradScaler's own
settings skip 1 in 2,000 once the scale is found, and a short timing skips a few while it is sought."""

FAR_ABOVE = 0.3
"""Training accuracy above the test accuracy, as a share, from which the test set is what is wrong."""


def diverged(run: Records) -> Diagnosis | None:
    """Say where a training diverged, and what its recipe suggests."""
    if run.of("status") != "diverged":
        return None
    return Diagnosis(
        kind="diverged",
        sentence=f"diverged: {run.of('because') or 'no reason was recorded'}",
        rows=(_where_it_diverged(run),),
        next_move=_against_divergence(run),
    )


def _where_it_diverged(run: Records) -> Rows:
    step = run.of("diverged_step")
    where = tuple(name for name in ("diverged_step", "diverged_layer", "diverged_in") if run.of(name) is not None)
    return Rows(table="cells", columns=("status", "because", *where)) if step is None or run.of("diverged_in") else (
        Rows(table="steps", columns=("loss",), first=int(step))
    )  # fmt: skip


def _against_divergence(run: Records) -> str:
    if run.of("compute_dtype") == "fp16":
        scaled = str(run.of("loss_scale") or "none").startswith("static")
        lower = "a lower static loss scale, or " if scaled else ""
        return f"fp16 ends at 65,504: try {lower}the same recipe in bf16, and then a smaller learning rate"
    if run.of("grad_clip") == 0:
        return "try grad_clip = 1, then a learning rate ten times smaller, or some warm-up"
    return "try a learning rate ten times smaller, or some warm-up"


def nothing(run: Records) -> Diagnosis | None:
    """Say that a training is no better than guessing, and what the other columns say of the cause."""
    epochs, accuracies = _accuracies(run)
    classes, images, recall = run.count("num_classes"), run.count("num_test_images"), run.of("macro_recall")
    if run.of("status") != "ok" or not accuracies or classes is None or images is None:
        return None
    learned = run.of("learned")
    if learned is None:
        learned = is_above_guessing(accuracies[-1] if recall is None else recall, classes, images)
    if learned:
        return None
    sentence, moves = (
        nothing_learned(accuracies, classes, images, recall),
        _why_nothing(run, accuracies, classes, images),
    )
    return Diagnosis(
        kind="learned nothing",
        sentence="; ".join([sentence, *(why for why, _, _ in moves[:1] if why)]),
        rows=(Rows(table="epochs", columns=("test_accuracy",), first=epochs[-1]), *(rows for _, _, rows in moves[:1])),
        next_move=moves[0][1],
    )


def _why_nothing(run: Records, accuracies: list[float], classes: int, images: int) -> list[tuple[str, str, Rows]]:
    """Return what the other columns say of the cause, what to try, and the rows of it; the likeliest first."""
    found = []
    steps, skipped = run.of("num_steps"), run.of("num_skipped")
    if steps and skipped and skipped / steps >= SKIPPED:
        why = f"{100 * skipped / steps:.0f} % of its updates were skipped after an overflow"
        rows = Rows(table="cells", columns=("num_skipped", "num_steps"))
        found.append((why, "try a lower loss scale, or bf16", rows))
    if lost_updates(run):
        found.append(("", "mend the lost updates first", Rows(table="layers", columns=("unmoved_share",))))
    epochs, losses = _losses(run)
    trained = run.of("train_accuracy")
    if trained is not None and trained - accuracies[-1] >= FAR_ABOVE:
        why = f"but {100 * trained:.1f} % of the training images were right in the last epoch"
        move = "compare how training and test images are prepared, and how BatchNorm runs in evaluation"
        found.append(
            (why, move, Rows(table="epochs", columns=("train_accuracy",), first=epochs[-1] if epochs else None))
        )
    best = max(accuracies)
    if is_above_guessing(best, classes, images):
        epoch = _accuracies(run)[0][accuracies.index(best)]
        why = f"it had reached {100 * best:.1f} % in epoch {epoch}"
        move = "try a learning rate ten times smaller"
        found.append((why, move, Rows(table="epochs", columns=("test_accuracy",), first=epoch)))
    if run.of("compute_dtype") == "fp16" and str(run.of("loss_scale") or "none") == "none":
        move = "fp16 without a loss scale flushes small gradients to zero: try fp16_amp_scaled or bf16_amp"
        found.append(("", move, Rows(table="cells", columns=("compute_dtype", "loss_scale"))))
    guess = math.log(classes)
    if losses and losses[-1] >= AT_GUESSING * guess:
        above = losses[-1] > ABOVE_GUESSING * guess
        why = (
            f"its training loss ended at {losses[-1]:.4g}, {'above' if above else 'at'} that of guessing ({guess:.4g})"
        )
        move = "try a learning rate ten times smaller" + ("" if above else ", and one ten times larger")
        found.append((why, move, Rows(table="epochs", columns=("train_loss",), first=epochs[-1])))
    move = "try another learning rate or more epochs, and check the labels of a few images"
    return [*found, ("", move, Rows(table="cells", columns=("learning_rate", "epochs")))]


def swings(run: Records) -> Diagnosis | None:
    """Say that the test accuracy goes up and down, or broke down, by more than its test set's noise."""
    epochs, accuracies = _accuracies(run)
    images = run.count("num_test_images")
    if run.of("status") != "ok" or images is None:
        return None
    words = swing_words(accuracies, images, run.rates_at(epochs))
    if words is None:
        return None
    late, broken = epochs[-8:], broke_down(accuracies)
    if broken and nothing(run):  # which says what it had reached before
        return None
    schedule = ", or a schedule that lets it fall, such as cosine" if run.of("schedule") == "constant" else ""
    further = ", and keep the weights of its best epoch (keep_best = true)" if broken else ", or a larger batch size"
    return Diagnosis(
        kind="broke down" if broken else "swings",
        sentence=words,
        rows=(Rows(table="epochs", columns=("test_accuracy",), first=late[0], last=late[-1]),),
        next_move=f"try a learning rate three times smaller{schedule}{further}",
    )


def loss_grew(run: Records) -> Diagnosis | None:
    """Say that the training loss ended well above its lowest."""
    epochs, losses = _losses(run)
    words = growth_words(losses, run.rates_at(epochs)) if run.of("status") == "ok" else None
    if words is None:
        return None
    lowest = epochs[losses.index(min(losses))]
    clip = ", and grad_clip = 1" if run.of("grad_clip") == 0 else ""
    return Diagnosis(
        kind="loss grew",
        sentence=words,
        rows=(Rows(table="epochs", columns=("train_loss",), first=lowest, last=epochs[-1]),),
        next_move=f"try a learning rate three times smaller{clip}",
    )


def lost_updates(run: Records) -> Diagnosis | None:
    """Say that rounding removes the updates of most weights.

    With stochastic rounding a weight changes rarely and by more than its update: one step does not show the mean.
    """
    share = run.unmoved_share
    if share is None or share < UNMOVED or run.of("update") == "stochastic" or run.of("status") != "ok":
        return None
    return Diagnosis(
        kind="lost updates",
        sentence=f"stands still by lost updates: at the last sample a step leaves {100 * share:.0f} % of the weights "
        "that have a gradient unchanged, because rounding removes the update",
        rows=(Rows(table="layers", columns=("unmoved_share", "num_entries"), first=run.unmoved_step),),
        next_move=_against_rounding(run),
    )


def _against_rounding(run: Records) -> str:
    if run.of("weights_dtype") in ("fp16", "bf16"):
        return 'keep an fp32 copy of the weights (master_weights = true), set rounding = "kahan", or use autocast'
    return "try a larger learning rate: its updates are below the precision of fp32 weights"


def _accuracies(run: Records) -> tuple[list[int], list[float]]:
    """Return the evaluated epochs and their test accuracies; the last one is that of the record."""
    epochs, accuracies = run.curve("test_accuracy")
    final = run.of("test_accuracy")
    if not accuracies and final is not None:
        return [int(run.of("epochs") or 0)], [float(final)]
    return epochs, [*accuracies[:-1], float(final)] if final is not None else accuracies


def _losses(run: Records) -> tuple[list[int], list[float]]:
    epochs, losses = run.curve("train_loss")
    kept = [(epoch, loss) for epoch, loss in zip(epochs, losses, strict=True) if math.isfinite(loss)]
    return [epoch for epoch, _ in kept], [loss for _, loss in kept]
