"""Count FLOPs and parameters of the segmentor that a config deploys: of one branch, not of teacher and student.

python tools/analysis_tools/get_flops.py CONFIG --shape 512 1024
"""

import argparse

import torch
from mmengine.analysis import get_model_complexity_info
from mmengine.config import Config, DictAction
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mmseg_semi.datasets.conversion import errors_in_one_sentence
from mmseg_semi.utils.config import load_config


def deployed(cfg: Config) -> torch.nn.Module:
    """Build what a config deploys, in eval mode and with random weights."""
    model = MODELS.build(cfg.model.get('segmentor', cfg.model))
    return revert_sync_batchnorm(model).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('--shape', type=int, nargs=2, metavar=('H', 'W'), help='default: the crop of training')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    args = parser.parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    segmentor = cfg.model.get('segmentor', cfg.model)
    shape = args.shape or (segmentor.get('data_preprocessor') or {}).get('size')
    if not shape:
        raise SystemExit("the config's data preprocessor has no size: give --shape H W")
    model = deployed(cfg)
    with torch.no_grad():
        counts = get_model_complexity_info(
            model, input_shape=None, inputs=(torch.zeros(1, 3, *shape),), show_table=False, show_arch=False
        )
    auxiliary = sum(p.numel() for name, p in model.named_parameters() if name.startswith('auxiliary_head'))
    print(f'input: 1 x 3 x {shape[0]} x {shape[1]}')
    print(f'FLOPs: {counts["flops"] / 1e9:.3f} G (multiply-adds)')
    print(
        f'parameters: {counts["params"] / 1e6:.3f} M, {auxiliary / 1e6:.3f} M of them in auxiliary heads for training'
    )


if __name__ == '__main__':
    with errors_in_one_sentence():
        main()
