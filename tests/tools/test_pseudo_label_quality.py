import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model
from mmseg.registry import DATASETS, MODELS

from mmseg_semi.datasets.checks import check_annotation, data_infos
from mmseg_semi.datasets.textured_scenes import CLASSES
from mmseg_semi.models import load_segmentor

TOOL = 'analysis_tools/pseudo_label_quality.py'


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A config whose teacher says various things, and its checkpoint."""
    cfg = tiny_config()
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    torch.nn.init.normal_(model.teacher.decode_head.conv_seg.weight, std=5)
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'model.pth')
    return tmp_path / 'config.py', tmp_path / 'model.pth'


def test_what_is_kept_and_right_is_counted_by_class(run_tool, trained):
    config, checkpoint = trained
    cfg = Config.fromfile(config)
    model, dataset = load_segmentor(cfg, str(checkpoint)), DATASETS.build(cfg.val_dataloader.dataset)
    truth, label, confidence = [], [], []
    for info in data_infos(dataset):
        prob = inference_model(model, info['img_path']).seg_logits.data.softmax(dim=0).numpy()
        truth.append(check_annotation(info, len(CLASSES)).ravel())
        label.append(prob.argmax(axis=0).ravel())
        confidence.append(prob.max(axis=0).ravel())
    truth, label, confidence = map(np.concatenate, (truth, label, confidence))
    threshold = float(np.median(confidence))

    done = run_tool(TOOL, config, checkpoint, '--thresholds', 0, threshold)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in done.stdout.splitlines() if '|' in line]
    assert rows[0] == ['threshold', '%', 'all', *CLASSES]

    for row, least in zip(rows[2:], (0, 0, threshold, threshold), strict=True):
        kept = confidence >= least
        for cell, number in zip(row[3:], range(len(CLASSES)), strict=True):
            of = truth == number if row[1] == 'kept' else kept & (label == number)
            part = kept if row[1] == 'kept' else truth == number
            assert cell == (f'{100 * part[of].mean():.0f}' if of.any() else '-')
    assert rows[2][2] == '100'
    assert rows[4][2] == '50'
    assert rows[5][2] == f'{100 * (truth == label)[confidence >= threshold].mean():.0f}'


def test_some_images_will_do_and_thresholds_are_confidences(run_tool, trained):
    assert run_tool(TOOL, *trained, '--images', 1).returncode == 0
    assert 'confidences are in [0, 1]' in run_tool(TOOL, *trained, '--thresholds', 95).stderr
