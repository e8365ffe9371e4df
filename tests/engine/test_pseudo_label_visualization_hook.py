import cv2
import pytest
from mmengine.runner import Runner


@pytest.mark.parametrize(('method', 'pictures'), [('CutMixMeanTeacher', 2), ('SemiSegmentor', 0)])
def test_pictures_are_drawn_at_the_interval_for_methods_with_pseudo_labels(tiny_config, tmp_path, method, pictures):
    cfg = tiny_config(method)
    cfg.custom_hooks += [dict(type='PseudoLabelVisualizationHook', interval=2)]
    Runner.from_cfg(cfg).train()
    drawn = sorted((tmp_path / 'work').rglob('pseudo_label*.png'))
    assert len(drawn) == pictures
    for file in drawn:
        height, width = cv2.imread(str(file)).shape[:2]
        assert width > 3 * 192
        assert height > 192


def test_drawing_does_not_change_training(tiny_config):
    weights = []
    for hooks in ([], [dict(type='PseudoLabelVisualizationHook', interval=1)]):
        cfg = tiny_config()
        cfg.custom_hooks += hooks
        cfg.visualizer.name = f'drawing {len(hooks)}'
        weights.append(Runner.from_cfg(cfg).train().state_dict())
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])


@pytest.mark.parametrize('method', ['UniMatch', 'ContextAwareConsistency'])
def test_gray_images_train_and_are_drawn(tiny_config, tmp_path, method):
    cfg = tiny_config(method, max_iters=1)
    cfg.custom_hooks += [dict(type='PseudoLabelVisualizationHook', interval=1)]
    cfg.model.segmentor.backbone.in_channels = 1
    cfg.model.segmentor.data_preprocessor.update(mean=[127.0], std=[128.0], bgr_to_rgb=False)
    for part in (*cfg.train_dataloader.dataset.values(), cfg.val_dataloader.dataset):
        if isinstance(part, dict):
            part.pipeline[0].color_type = 'grayscale'
    Runner.from_cfg(cfg).train()
    (picture,) = (tmp_path / 'work').rglob('pseudo_label*.png')
    header, gap, size = 26, 6, 192
    sees = cv2.imread(str(picture))[header : header + size, gap : gap + size]
    assert (sees == sees[..., :1]).all()
    assert sees.std() > 10
