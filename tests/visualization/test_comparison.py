from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from mmseg_semi.visualization.comparison import Evaluation, _find_cases


@pytest.fixture
def evaluations(tmp_path):
    """Predictions of two methods for three images, which differ on 0, 4 and 2 of 16 pixels."""
    images = []
    for index in range(3):
        images.append(str(tmp_path / f'image{index}.png'))
        cv2.imwrite(images[-1], np.full((4, 4, 3), 200, np.uint8))
    found = {}
    for name, wrong in (('a', (0, 0, 0)), ('b', (0, 4, 2))):
        (tmp_path / name).mkdir()
        for index, number in enumerate(wrong):
            label = np.zeros(16, np.uint8)
            label[:number] = 1
            cv2.imwrite(str(tmp_path / name / f'{index:05}.png'), label.reshape(4, 4))
        found[name] = Evaluation(tmp_path / name, images, {}, 0.0, 0.0, 0.0)
    return found


TRUTH = SimpleNamespace(gt_sem_seg=SimpleNamespace(data=torch.zeros(1, 4, 4, dtype=torch.int64)))


def test_images_come_by_the_share_of_pixels_on_which_methods_differ_and_none_without(evaluations):
    cases = _find_cases(evaluations, [dict(data_samples=TRUTH)] * 3, count=3)
    assert [(case.name, case.differing) for case in cases] == [('image1', 0.25), ('image2', 0.125)]
    assert cases[0].accuracy == dict(a=1.0, b=0.75)


def test_only_pixels_on_which_methods_differ_are_coloured(evaluations):
    case = _find_cases(evaluations, [dict(data_samples=TRUTH)] * 3, count=1)[0]
    coloured = np.ptp(case.disagreement.astype(int), axis=2) > 0
    assert np.array_equal(coloured, case.labels['b'] == 1)


def test_neighbours_in_a_long_list_are_not_shown_twice(evaluations, tmp_path):
    images = evaluations['a'].images[1:2] * 24
    for name, label in (('a', 0), ('b', 1)):
        for index in range(24):
            cv2.imwrite(str(tmp_path / name / f'{index:05}.png'), np.full((4, 4), label, np.uint8))
    long = {name: Evaluation(tmp_path / name, images, {}, 0.0, 0.0, 0.0) for name in evaluations}
    seen = []

    class Dataset:
        def __getitem__(self, index):
            seen.append(index)
            return dict(data_samples=TRUTH)

    assert len(_find_cases(long, Dataset(), count=2)) == 2
    assert abs(seen[0] - seen[1]) >= 3
