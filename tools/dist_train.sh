#!/usr/bin/env bash
# Train on several processes: GPUs, or CPUs where there is none.
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
# On several machines, run it on each with NNODES, NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
    echo "usage: $0 CONFIG PROCESSES [options of tools/train.py]" >&2
    exit 2
fi
config=$1 processes=$2
shift 2
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$tools/dist_env.sh"
launch "$processes" "$tools/train.py" "$config" --launcher pytorch "$@"
