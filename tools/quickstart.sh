#!/usr/bin/env bash
# See semi-supervised training win in minutes, on a CPU: bash tools/quickstart.sh [--no-venv] [options of quickstart.py]
# shellcheck disable=SC1091
source "$(dirname "$0")/setup_env.sh"

python tools/quickstart.py "${ARGS[@]}"
