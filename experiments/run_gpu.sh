#!/usr/bin/env bash
# experiments/run_gpu.sh i/n FILE [options]: the i-th of n shards of an experiment, on board i.
# Start one a board, from as many shells as you like; the last to finish joins everything.
set -euo pipefail
if [[ $# -lt 2 || ! $1 =~ ^[0-9]+/[0-9]+$ ]]; then
    echo "usage: experiments/run_gpu.sh i/n FILE [options], as in: experiments/run_gpu.sh 0/2 experiments/vgg19_amp.toml" >&2
    exit 2
fi
shard=$1 file=$2
shift 2
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
exec "$python" "$root/bench/run_matrix.py" "$file" --shard "$shard" --gpus "${shard%/*}" "$@"
