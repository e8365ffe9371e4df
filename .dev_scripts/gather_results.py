"""Write what trainings reached, one JSON object a run, from their work dirs.

Example:
    python .dev_scripts/gather_results.py work_dirs/scenes/* -o projects/scenes_benchmark/results.jsonl
"""

import argparse
import json
from pathlib import Path
from typing import Any

from mmseg_semi.utils.files import replace_file
from mmseg_semi.visualization.runs import Run

ROOT = Path(__file__).resolve().parents[1]


def describe(run: Run) -> dict[str, Any]:
    """Collect what is known of a run.

    Raises:
        SystemExit: If it is not finished, or its config is none of the repository.
    """
    if run.remark:
        raise SystemExit(f'{run.work_dir}: {run.remark}')
    found = list(ROOT.glob(f'configs/*/{run.name}.py'))
    if not found:
        raise SystemExit(f'{run.work_dir}: configs/ has no {run.name}.py')
    config = found[0].relative_to(ROOT).as_posix()
    return dict(method=run.name.split('_')[0], seed=run.seed, config=config, **run.result())


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', type=Path, nargs='+', help='of tools/train.py or tools/quickstart.py')
    parser.add_argument('-o', '--out', type=Path, required=True, help='file to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    results = sorted(map(describe, map(Run, args.work_dirs)), key=lambda result: (result['config'], result['seed']))
    with replace_file(args.out) as draft:
        draft.write_text(''.join(json.dumps(result) + '\n' for result in results))
    print(f'{args.out}: {len(results)} runs')


if __name__ == '__main__':
    main()
