"""Sentences about the samples of the numerics probe: where gradients underflow. `diagnosis` speaks of lost updates."""

from __future__ import annotations

from ampbench.visualize.judge.verdict.layers_to_keep import keeping_of
from ampbench.visualize.judge.verdict.numbers import FLUSHED
from ampbench.visualize.read.frame import Results
from ampbench.visualize.read.layers import flushed


def findings(results: Results) -> list[str]:
    """Return a few sentences per subject and batch size; none where the probe took no sample."""
    sentences: list[str] = []
    if results.layers.empty:
        return sentences
    for subject in results.subjects:
        for batch_size in results.where(subject=subject).batch_sizes:
            own = results.where(subject=subject, batch_size=batch_size)
            if len(own.layers):
                sentences += [
                    f"{subject} at batch {batch_size}: {words}" for words in (*_underflow(own), *_to_keep(own))
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


def _to_keep(results: Results) -> list[str]:
    """Return what to keep in fp32 of each recipe whose trouble is in few layers."""
    found = [keeping_of(results, recipe) for recipe in results.recipes]
    return [
        f"{one.recipe} has its trouble in {len(one.layers)} of {one.num_layers} layers: "
        f"{', '.join(map(str, one.layers))}; to try: {one.move}."
        for one in found
        if one and one.num_layers > len(one.layers)
    ]
