# What dist_*.sh and slurm_*.sh share. Read from the environment:
#   NNODES (1), NODE_RANK (0), MASTER_ADDR (127.0.0.1), PORT (a free one; 29500 on several machines), PYTHON (python)

launch() {  # PROCESSES SCRIPT [ARGUMENTS]
    local processes=$1 python=${PYTHON:-python} nnodes=${NNODES:-1} port=${PORT:-}
    shift
    if [ -z "$port" ]; then
        port=29500
        if [ "$nnodes" = 1 ]; then
            port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
        fi
    fi
    PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" exec "$python" -m torch.distributed.run \
        --nnodes="$nnodes" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$processes" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="$port" "$@"
}

launch_slurm() {  # PARTITION JOB_NAME SCRIPT [ARGUMENTS]
    local partition=$1 job=$2 gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
    shift 2
    if [ "$per_node" -gt "$gpus" ]; then
        per_node=$gpus
    fi
    # SRUN_ARGS is several words on purpose.
    # shellcheck disable=SC2086
    PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}" exec srun --partition="$partition" --job-name="$job" \
        --gres=gpu:"$per_node" --ntasks="$gpus" --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 ${SRUN_ARGS:-} "${PYTHON:-python}" -u "$@"
}
