# Sourced by quickstart.sh and run_tests.sh: go to the repository, use .venv (made when there is none) or, with
# --no-venv, the current environment, and install there the extras named in EXTRAS if they are missing. Sets ARGS to the
# arguments that are left.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

use_venv=1
ARGS=()
for arg in "$@"; do
    if [ "$arg" = --no-venv ]; then use_venv=0; else ARGS+=("$arg"); fi
done

if [ "$use_venv" = 1 ]; then
    python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' ||
        { echo "Python 3.10 to 3.12 is needed, $("$python" --version) was found: set PYTHON=/path/to/python" >&2; exit 1; }
    [ -e .venv/bin/activate ] || "$python" -m venv --clear .venv
    # shellcheck disable=SC1091
    source .venv/bin/activate
fi

stamp="$(python -c 'import sys; print(sys.prefix)')/.mmseg_semi_$(cat setup.py requirements/*.txt - <<< "$EXTRAS" | cksum | cut -d' ' -f1)"
if [ ! -e "$stamp" ] || ! python -c 'import mmseg_semi' 2> /dev/null; then
    echo "Installing mmseg_semi and its requirements (several GB with PyTorch, minutes) ..."
    python -m pip install --quiet -e ".[$EXTRAS]"
    touch "$stamp" 2> /dev/null || true
fi
