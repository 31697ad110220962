"""Sentences about the samples of the numerics probe: where gradients underflow, which weights do not change."""

from __future__ import annotations

from ampbench.visualize.judge.numbers import FLUSHED, UNMOVED
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import flushed, last_samples, unmoved


def findings(results: Results) -> list[str]:
    """Return one or two sentences per subject and batch size; none where the probe took no sample."""
    sentences = []
    for subject in results.subjects:
        for batch_size in results.where(subject=subject).batch_sizes:
            own = results.where(subject=subject, batch_size=batch_size)
            if len(own.layers):
                sentences += [
                    f"{subject} at batch {batch_size}: {words}" for words in (*_underflow(own), *_unchanged(own))
                ]
    return sentences


def _underflow(results: Results) -> list[str]:
    shares = flushed(results)
    worst = shares.groupby(["recipe", "layer"], observed=True)["value"].max()
    depths = shares.drop_duplicates("layer").set_index("layer")["depth"]
    parts, without = [], []
    for recipe in (r for r in results.recipes if r in worst.index.get_level_values("recipe")):
        own = worst[recipe]
        underflowing = sorted(own[own >= FLUSHED].index, key=lambda layer: depths[layer])
        if underflowing:
            most = own.idxmax()
            few = ", ".join(map(str, underflowing[:4]))
            few += f" and {len(underflowing) - 4} more" if len(underflowing) > 4 else ""
            parts.append(f"{recipe} in {few} (at worst {100 * own[most]:.0f} % of {most})")
        else:
            without.append(recipe)
    if not parts:
        return [f"no recipe flushes {100 * FLUSHED:.0f} % of a layer's gradient to zero."]
    return [
        f"gradients underflow ({100 * FLUSHED:.0f} % or more of a layer flushed to zero) with {'; '.join(parts)}"
        + (f"; in no layer with {', '.join(without)}." if without else ".")
    ]


def _unchanged(results: Results) -> list[str]:
    shares = unmoved(results)
    # With stochastic rounding a weight changes rarely and by more than its update: one step does not show the mean.
    if "update" in results.cells:
        random = results.cells.loc[results.cells["update"] == "stochastic", "cell_id"]
        shares = shares[~shares["cell_id"].isin(random)]
    last = last_samples(shares).groupby("recipe", observed=True)["share"].mean()
    unchanged = last[last >= UNMOVED]
    if unchanged.empty:
        return []
    words = ", ".join(f"{recipe} ({100 * share:.0f} %)" for recipe, share in unchanged.items())
    most = "at the last sample a step leaves most weights with a gradient unchanged"
    return [f"{most} with {words}: rounding removes the update."]
