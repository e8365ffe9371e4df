"""Beginning and end of several processes; trainings on them are in test_distributed.py."""

from pathlib import Path

import pytest
import torch.distributed as dist
from mmengine.config import Config
from torch import nn

from mmseg_semi.engine.launch import _replace_sync_bn, leave_together


def threads():
    return {path.name for path in Path('/proc/self/task').iterdir()}


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='threads are listed in /proc')
def test_no_thread_of_gloo_is_left_to_outlive_python(tmp_path):
    before = threads()
    dist.init_process_group('gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    network = nn.parallel.DistributedDataParallel(nn.Linear(1, 1))
    network.hook = [network]  # a cycle, as between runner, model and hooks
    of_gloo = threads() - before
    del network
    leave_together()
    assert not dist.is_initialized()
    assert of_gloo
    assert not of_gloo & threads()


def test_every_kind_of_synchronised_batch_norm_is_replaced_in_nested_configs():
    cfg = Config(dict(model=dict(a=dict(norm_cfg=dict(type='SyncBN')), b=[dict(norm_cfg=dict(type='MMSyncBN'))])))
    assert _replace_sync_bn(cfg.model) == 2
    assert cfg.model.a.norm_cfg.type == cfg.model.b[0].norm_cfg.type == 'BN'
