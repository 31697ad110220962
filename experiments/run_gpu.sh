#!/usr/bin/env bash
# experiments/run_gpu.sh BOARD FILE [options]: cells of an experiment on one board, as in study S3 a recipe a board:
#     experiments/run_gpu.sh 0 experiments/vgg19_amp.toml --only precision=fp32
# experiments/run_gpu.sh i/n FILE [options]: the i-th of n shards, on board i unless --gpus names another; a shard has
# whole groups.
# Start one a board, from as many shells as you like; the last to finish joins everything.
set -euo pipefail
if [[ $# -lt 2 || ! $1 =~ ^([0-9]+(/[0-9]+)?|(GPU|MIG)-.+)$ ]]; then
    cat >&2 <<'END'
usage: experiments/run_gpu.sh BOARD FILE [options], as in: experiments/run_gpu.sh 0 experiments/vgg19_amp.toml --only precision=fp32
       experiments/run_gpu.sh i/n FILE [options], as in: experiments/run_gpu.sh 0/2 experiments/vgg19_amp.toml
BOARD is an index, or a UUID as nvidia-smi -L writes it: GPU-… or MIG-…
END
    exit 2
fi
board=$1 file=$2
shift 2
where=(--gpus "$board")
if [[ $board =~ ^[0-9]+/[0-9]+$ ]]; then
    where=(--shard "$board")
    [[ " $* " =~ " --gpus"[=\ ] ]] || where+=(--gpus "${board%/*}")
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
if ! command -v "$python" >/dev/null; then
    echo "$python: no such Python; make quickstart installs it, or name your own, as in PYTHON=python3 $0 …" >&2
    exit 2
fi
exec "$python" "$root/bench/run_matrix.py" "$file" "${where[@]}" "$@"
