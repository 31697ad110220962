#!/usr/bin/env bash
# experiments/run_gpu.sh BOARD FILE [options]: cells of an experiment on one board, as in study S3 a recipe a board:
#     experiments/run_gpu.sh 0 experiments/vgg19_amp.toml --only precision=fp32
# experiments/run_gpu.sh i/n FILE [options]: the i-th of n shards, on board i; a shard has whole groups.
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
board=$1 file=$2 shard=()
shift 2
if [[ $board =~ ^[0-9]+/[0-9]+$ ]]; then
    shard=(--shard "$board")
    board=${board%/*}
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
exec "$python" "$root/bench/run_matrix.py" "$file" ${shard[@]+"${shard[@]}"} --gpus "$board" "$@"
