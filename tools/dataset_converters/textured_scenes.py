"""Generate the embedded dataset of textured scenes.

    python tools/dataset_converters/textured_scenes.py data/textured_scenes

takes seconds and downloads nothing. The same arguments give the same scenes everywhere.
"""

import argparse
from pathlib import Path

from mmseg_semi.datasets.textured_scenes import generate_textured_scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('root', type=Path, help='folder to create')
    parser.add_argument('--num-labeled', type=int, default=16, help='labelled train scenes (default: %(default)s)')
    parser.add_argument('--num-unlabeled', type=int, default=300, help='unlabelled train scenes (default: %(default)s)')
    parser.add_argument('--num-val', type=int, default=100, help='validation scenes (default: %(default)s)')
    parser.add_argument('--size', type=int, nargs=2, default=(96, 96), metavar=('H', 'W'), help='default: 96 96')
    parser.add_argument('--seed', type=int, default=0, help='seed of the whole dataset (default: %(default)s)')
    args = parser.parse_args()
    try:
        generate_textured_scenes(**vars(args))
    except (FileExistsError, ValueError) as error:
        parser.error(str(error))
    print(
        f'{args.root}: {args.num_labeled} labelled, {args.num_unlabeled} unlabelled, {args.num_val} validation scenes'
    )


if __name__ == '__main__':
    main()
