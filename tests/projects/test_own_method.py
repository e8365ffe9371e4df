import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_segmentor
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_semi.models import UnlabeledViews, View

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'projects/own_method/classmix_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    init_default_scope('mmseg')
    yield
    sys.modules.pop('projects', None)


def test_half_of_the_partner_s_classes_are_pasted_along_their_outlines():
    import projects.own_method.classmix  # noqa: F401

    torch.manual_seed(0)
    model = MODELS.build(dict(type='ClassMix', segmentor=tiny_segmentor()))
    model.init_weights()
    for p in model.teacher.parameters():
        p.data += 0.2 * torch.randn_like(p)
    weak, strong = torch.randn(2, 4, 3, 32, 32)
    valid = torch.ones(4, 32, 32, dtype=torch.bool)
    valid[2, :8] = False
    views = [View(image, valid, valid.long() * 0, valid.long() * 0 + 255, []) for image in (weak, strong)]
    image, target = model.student_input(UnlabeledViews(weak=views[0], strong=views[1]))
    label = model.teacher_target(views[0]).label
    for i in range(2):
        pasted, partner = target.region[i] == 1, label[i + 2]
        present = set(partner[valid[i + 2]].tolist())
        chosen = set(partner[pasted].tolist())
        assert len(chosen) == (len(present) + 1) // 2
        assert torch.equal(pasted, torch.isin(partner, torch.tensor(sorted(chosen))) & valid[i + 2])
        assert torch.equal(image[i], torch.where(pasted, strong[i + 2], strong[i]))
        assert torch.equal(target.label[i], torch.where(pasted, partner, label[i]))


def test_the_readme_shows_the_config_as_it_is():
    assert f'```python\n{CONFIG.read_text()}```' in (CONFIG.parent / 'README.md').read_text()


def test_the_config_trains(tiny_data, tmp_path):
    cfg = Config.fromfile(CONFIG)
    dataset = cfg.train_dataloader.dataset
    for part in (dataset.labeled, dataset.unlabeled, cfg.val_dataloader.dataset):
        part.data_root = str(tiny_data)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.work_dir = str(tmp_path)
    cfg.model.unsup_rampup = 0
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.message_hub.get_scalar('train/loss_classmix').current() >= 0
    assert 0 <= runner.message_hub.get_scalar('train/mask_ratio').current() <= 1
