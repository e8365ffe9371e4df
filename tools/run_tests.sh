#!/usr/bin/env bash
# Lint and test: bash tools/run_tests.sh [--no-venv] [pytest arguments]
# shellcheck disable=SC1091,SC2034
EXTRAS=onedl,analysis,tests
source "$(dirname "$0")/setup_env.sh"

ruff check .
ruff format --check .
export OMP_NUM_THREADS=1
python -m pytest -n "$(python -c 'import os; print(min(8, os.cpu_count()))')" --dist loadfile --no-loadscope-reorder "${ARGS[@]:-tests}"
