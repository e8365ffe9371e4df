import numpy as np

from mmseg_semi.visualization import panel


def picture(height, width, value):
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_of_different_sizes_stand_on_white():
    page = panel([[picture(10, 200, 7), picture(20, 100, 9)]], ['a', 'b'])
    body = page[26:]
    assert (body == 7).all(axis=2).sum() == 10 * 200
    assert (body == 9).all(axis=2).sum() == 20 * 100


def test_large_pictures_are_reduced_to_the_width_and_small_ones_by_the_same_factor():
    page = panel([[picture(400, 800, 7), picture(200, 400, 9)]], ['a', 'b'], max_width=400)
    body = page[26:]
    assert (body == 7).all(axis=2).sum() == 200 * 400
    assert (body == 9).all(axis=2).sum() == 100 * 200
