import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.visualization.report import _data_uri, _summarize, build_report
from mmseg_semi.visualization.runs import Run, group_runs


def test_the_page_names_the_best_its_gain_and_who_comes_close(work_dir):
    values = dict(sup=(40.0, 42.0), mix=(50.0, 54.0), other=(51.0, 52.0))
    folders = []
    for name, pair in values.items():
        method = 'SemiSegmentor' if name == 'sup' else 'CutMixMeanTeacher'
        model = dict(unsup_rampup=2) if name == 'other' else {}
        folders += [work_dir(f'{name}_{seed}', seed, {4: value}, method, **model) for seed, value in enumerate(pair)]
    page = build_report(group_runs([Run(folder) for folder in folders]))
    assert 'mix has the highest mIoU, 52.0 ± 2.8, +11.0 ± 1.4 over supervised' in page
    assert 'Less than a standard deviation behind: other.' in page
    assert 'Every run was validated once' in page


def test_names_are_text_and_never_markup(work_dir):
    page = build_report(group_runs([Run(work_dir('sup_0', 0, {2: 30.0, 4: 40.0}))], ['<b>mine</b>']))
    assert '<b>mine</b>' not in page
    assert '&lt;b&gt;mine&lt;/b&gt;' in page


def test_an_unfinished_method_alone_makes_a_page(work_dir):
    page = build_report(group_runs([Run(work_dir('sup_0', 0, {2: 30.0}))]))
    assert 'seed 0: unfinished, 2 of 4' in page


def test_a_run_on_a_cpu_shows_which_one(work_dir):
    folder = work_dir('sup_0', 0, {4: 40.0})
    (folder / '1' / '1.log').write_text('    PyTorch: 9.8.7\n    GPU number: 2\n')
    config = folder / '1' / 'vis_data' / 'config.py'
    assert '<td>CPU</td>' in build_report(group_runs([Run(folder)]))
    config.write_text(config.read_text() + "\ncpu = 'Fast CPU'\n")
    run = Run(folder)
    assert run.environment == dict(device='CPU', torch='9.8.7', processes=2, cpu='Fast CPU')
    assert '<td>Fast CPU</td>' in build_report(group_runs([run]))


def test_a_curve_has_mean_and_extremes_where_all_seeds_have_a_value():
    assert _summarize([[(1, 1.0), (2, 5.0)], [(1, 3.0)]]) == [(1, 2.0, 1.0, 3.0)]


def test_a_long_curve_is_averaged_to_few_points():
    points = _summarize([[(step, float(step)) for step in range(1, 3001)]])
    assert len(points) == 150
    assert points[0] == (20, pytest.approx(10.5), pytest.approx(10.5), pytest.approx(10.5))


def test_a_value_that_is_not_finite_leaves_a_gap():
    assert [point[0] for point in _summarize([[(1, 1.0), (2, float('nan')), (3, 2.0)]])] == [1, 3]


def test_student_and_teacher_are_drawn_on_one_scale(work_dir):
    page = build_report(group_runs([Run(work_dir('sup_0', 0, {2: 30.4, 4: 40.2}))]))  # the student is 1 below
    charts = re.findall(r'<figcaption>mIoU of the .*?</svg>', page, re.DOTALL)
    scales = [re.findall(r'class="y".*?>(\S+)</text>', chart) for chart in charts]
    assert len(scales) == 2
    assert scales[0] == scales[1]
    assert float(scales[0][0]) <= 29.4
    assert float(scales[0][-1]) >= 40.2


def test_a_large_picture_enters_the_page_small_and_with_the_colours_of_its_classes():
    labels = np.kron(np.arange(12).reshape(3, 4), np.ones((340, 512), int))
    colors = np.random.default_rng(0).integers(0, 256, (12, 3), np.uint8)
    kind, _, data = _data_uri(colors[labels], 'PNG').partition(';base64,')
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB'))
    assert kind == 'data:image/png'
    assert len(data) < 3000
    assert shown.shape == (159, 320, 3)
    assert {tuple(color) for color in shown.reshape(-1, 3)} == {tuple(color) for color in colors}
