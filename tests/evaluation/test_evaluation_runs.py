"""All metrics together, in the loops that users run."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

EVALUATION = Config.fromfile(Path(__file__).parents[2] / 'configs/_base_/evaluation.py').evaluation
NAMES = {'aAcc', 'mIoU', 'mAcc', 'mBoundaryIoU', 'ECE', 'overconfidence'}


@pytest.fixture
def config(tiny_config):
    cfg = tiny_config()
    cfg.val_evaluator = cfg.test_evaluator = EVALUATION
    return cfg


def test_teacher_and_student_are_both_judged_by_all_metrics(config):
    config.default_hooks.checkpoint = None
    runner = Runner.from_cfg(config)
    runner.model.student.decode_head.conv_seg.bias.data[5] = 1e4
    runner.model.teacher.decode_head.conv_seg.bias.data.zero_()
    metrics = runner.val()
    assert set(metrics) == {f'{branch}{name}' for branch in ('', 'teacher/', 'student/') for name in NAMES}
    assert metrics['student/ECE'] == pytest.approx(100 - metrics['student/aAcc'], abs=0.02)  # it is always sure
    assert metrics['ECE'] == metrics['teacher/ECE'] != metrics['student/ECE']


@pytest.mark.parametrize('semi', [True, False])
def test_semi_supervised_and_plain_models_are_judged_with_and_without_test_time_augmentation(config, semi):
    if not semi:
        config.model, config.custom_hooks = config.model.segmentor, []
    assert set(Runner.from_cfg(config).test()) == NAMES
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = dict(type='ProbabilisticSegTTAModel', module=config.model)
    assert set(Runner.from_cfg(config).test()) == NAMES
