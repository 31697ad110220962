"""What the numerics probe found, in sentences: where gradients underflow, and which weights do not move."""

from __future__ import annotations

from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import flushed, unmoved

FLUSHED = 0.05
"""A layer underflows where at least this share of its gradient is flushed to zero in one of the samples."""

UNMOVED = 0.5
"""Said where at least this share of the weights is left where it was by the step of the last sample."""


def findings(results: Results) -> list[str]:
    """Return a sentence or two a subject and batch size; none where the probe took no sample."""
    sentences = []
    for subject in results.subjects:
        for batch_size in results.where(subject=subject).batch_sizes:
            own = results.where(subject=subject, batch_size=batch_size)
            if len(own.layers):
                sentences += [f"{subject} at batch {batch_size}: {words}" for words in (*_underflow(own), *_still(own))]
    return sentences


def _underflow(results: Results) -> list[str]:
    shares = flushed(results)
    worst = shares.groupby(["recipe", "layer"], observed=True)["value"].max()
    depths = shares.drop_duplicates("layer").set_index("layer")["depth"]
    parts, spared = [], []
    for recipe in (r for r in results.recipes if r in worst.index.get_level_values("recipe")):
        own = worst[recipe]
        dying = sorted(own[own >= FLUSHED].index, key=lambda layer: depths[layer])
        if dying:
            most = own.idxmax()
            few = ", ".join(map(str, dying[:4])) + (f" and {len(dying) - 4} more" if len(dying) > 4 else "")
            parts.append(f"{recipe} in {few} (at worst {100 * own[most]:.0f} % of {most})")
        else:
            spared.append(recipe)
    if not parts:
        return [f"no recipe flushes {100 * FLUSHED:.0f} % of a layer's gradient to zero."]
    return [
        f"gradients underflow ({100 * FLUSHED:.0f} % or more of a layer flushed to zero) with {'; '.join(parts)}"
        + (f"; in no layer with {', '.join(spared)}." if spared else ".")
    ]


def _still(results: Results) -> list[str]:
    shares = unmoved(results)
    # Rounded at random, a weight moves seldom and by more than its update: a single step says nothing of the mean.
    if "update" in results.cells:
        random = results.cells.loc[results.cells["update"] == "stochastic", "cell_id"]
        shares = shares[~shares["cell_id"].isin(random)]
    last = shares[shares["epoch"] == shares["epoch"].max()].groupby("recipe", observed=True)["share"].mean()
    still = last[last >= UNMOVED]
    if still.empty:
        return []
    words = ", ".join(f"{recipe} ({100 * share:.0f} %)" for recipe, share in still.items())
    most = "at the last sample most weights with a gradient stay where they are"
    return [f"{most} with {words}: the update rounds away."]
