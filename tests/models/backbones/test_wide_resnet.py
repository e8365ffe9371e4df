from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_semi.models import WideResNet38

CONFIGS = Path(__file__).parents[3] / 'configs'


def narrow(segmentor):
    """The segmentor of a config on a WideResNet38 of 4 to 256 channels."""
    segmentor.backbone.update(base_channels=4, init_cfg=None)
    segmentor.decode_head.update(in_channels=256, channels=8, c1_in_channels=8, c1_channels=4)
    for part in (segmentor.backbone, segmentor.decode_head):
        part.norm_cfg = dict(type='BN')
    return segmentor


@pytest.fixture
def segmentor():
    init_default_scope('mmseg')
    return narrow(Config.fromfile(CONFIGS / '_base_/models/deeplabv3plus_wrn38.py').model)


def test_modules_have_the_channels_and_strides_of_the_paper():
    network = WideResNet38(base_channels=2, out_indices=range(7))
    outs = network(torch.randn(2, 3, 32, 48))
    assert [tuple(out.shape) for out in outs] == [
        (2, 2, 32, 48), (2, 4, 16, 24), (2, 8, 8, 12), (2, 16, 4, 6), (2, 32, 4, 6), (2, 64, 4, 6), (2, 128, 4, 6),
    ]  # fmt: skip
    lowest, last = WideResNet38(base_channels=2)(torch.randn(2, 3, 32, 48))
    assert (lowest.shape[1], last.shape[1]) == (4, 128)


def test_it_has_the_parameters_of_the_published_network():
    with torch.device('meta'):
        network = WideResNet38()
    classifier = 2 * 4096 + 4096 * 1000 + 1000
    assert sum(p.numel() for p in network.parameters()) + classifier == 109_167_912


def test_an_output_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r'out_indices=\(1, 7\), but its modules are 0 to 6'):
        WideResNet38(out_indices=(1, 7))


def test_computing_blocks_again_gives_the_same_gradients():
    image, gradients = torch.randn(2, 3, 32, 32), []
    state = WideResNet38(base_channels=2).state_dict()
    for with_cp in (False, True):
        network = WideResNet38(base_channels=2, with_cp=with_cp)
        network.load_state_dict(state)
        torch.manual_seed(0)  # of dropout
        sum(out.square().mean() for out in network(image)).backward()
        gradients.append([p.grad for p in network.parameters()])
    torch.testing.assert_close(*gradients)


def test_deeplabv3plus_on_it_learns_in_every_part_with_cutmix(tiny_config, segmentor):
    segmentor.decode_head.num_classes = 8
    segmentor.data_preprocessor.size = (32, 32)
    segmentor.backbone.with_cp = True
    segmentor.decode_head.norm_cfg = dict(type='GN', num_groups=4)  # a mix is one image, too few for batch norm
    cfg = tiny_config(max_iters=1, segmentor=segmentor)
    runner = Runner.from_cfg(cfg)
    runner.train()
    learned = runner.optim_wrapper.optimizer.state
    idle = {name for name, p in runner.model.student.named_parameters() if not learned[p]['momentum_buffer'].any()}
    assert not idle
    assert all(p.isfinite().all() for p in runner.model.student.parameters())


def test_the_cityscapes_stage_starts_from_all_but_the_classifier_of_the_mapillary_stage(run_tool, tmp_path):
    init_default_scope('mmseg')
    names = ('8xb2-197k_mapillary', '8xb1-65k_cityscapes')
    first, second = (
        Config.fromfile(CONFIGS / f'supervised/supervised_deeplabv3plus_wrn38_{name}-full-896x896.py').model
        for name in names
    )
    model = revert_sync_batchnorm(MODELS.build(dict(first, segmentor=narrow(first.segmentor))))
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'iter_1.pth')
    done = run_tool('model_converters/export_segmentor.py', tmp_path / 'iter_1.pth', tmp_path / 'mapillary.pth')
    assert done.returncode == 0, done.stderr

    assert second.segmentor.init_cfg.type == 'Pretrained'
    second.segmentor.init_cfg.checkpoint = str(tmp_path / 'mapillary.pth')
    started = MODELS.build(dict(second, segmentor=narrow(second.segmentor)))
    started.init_weights()
    expected = model.teacher.state_dict()
    for branch in (started.student, started.teacher):
        own = branch.state_dict()
        differ = {key for key in own if own[key].shape != expected[key].shape or not own[key].equal(expected[key])}
        assert differ == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
        assert own['decode_head.conv_seg.weight'].shape[0] == 19
