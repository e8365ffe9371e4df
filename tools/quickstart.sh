#!/usr/bin/env bash
# See semi-supervised training win in minutes, on a CPU: bash tools/quickstart.sh [--no-venv] [options of quickstart.py]
# shellcheck disable=SC1091,SC2034
EXTRAS=onedl
source "$(dirname "$0")/setup_env.sh"

# Threads that wait must not keep a busy core from the others.
export OMP_WAIT_POLICY=PASSIVE
python tools/quickstart.py ${ARGS[@]+"${ARGS[@]}"}
