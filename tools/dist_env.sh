# What dist_train.sh and dist_test.sh share. Read from the environment:
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
