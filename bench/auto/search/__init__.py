"""A search over settings: trials that are cells, proposed by Optuna from the records of the earlier ones.

proposals   what to try next: a function of the space, the seed and what is known
pruning     when a trial may end early: bars that are decided before it starts
proposed    what was proposed: search.json
history     what became of it: the joined tables
session     the loop: propose, run, look; then the best settings again
outcome     what was found: best.toml, choices.json, the last lines
preview     what `--plan` prints
"""
