#!/usr/bin/env bash
# experiments/run_all_gpus.sh FILE [options]: an experiment on all boards of this machine, one queue a board.
set -euo pipefail
if [[ $# -lt 1 ]]; then
    echo "usage: experiments/run_all_gpus.sh FILE [options]" >&2
    exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
if ! command -v "$python" >/dev/null; then
    echo "$python: no such Python; make quickstart installs it, or name your own, as in PYTHON=python3 $0 …" >&2
    exit 2
fi
exec "$python" "$root/bench/run_matrix.py" "$@" --gpus all
