import re
import runpy
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS
from PIL import Image

pytest.importorskip('sklearn')
TOOL = 'analysis_tools/feature_tsne.py'
OPTIONS = ('--crop-size', 32, 32, '--points', 20, '--perplexity', 5, '--images', 2)


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A config, a checkpoint of it, and a plain one whose features are the same everywhere."""
    cfg = tiny_config()
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'semi.pth')
    for norm in model.student.decode_head.convs.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.weight.data.zero_()
            norm.bias.data.fill_(1)
    torch.save(dict(state_dict=model.student.state_dict(), meta={}), tmp_path / 'constant.pth')
    return tmp_path / 'config.py', tmp_path / 'semi.pth', tmp_path / 'constant.pth'


def table(done):
    """The numbers of each row: cosine of the same cell, of other classes, flips."""
    assert done.returncode == 0, done.stderr
    rows = re.findall(r'^(baseline|model) +(\S+) +(\S+) +(\S+)%$', done.stdout, re.MULTILINE)
    return {name: [float(number) for number in numbers] for name, *numbers in rows}


def test_a_network_blind_to_context_has_a_cosine_of_one_and_no_flips_and_another_has_not(run_tool, trained, tmp_path):
    config, semi, constant = trained
    out = tmp_path / 'new/tsne.png'
    rows = table(run_tool(TOOL, config, semi, '--baseline-checkpoint', constant, '-o', out, *OPTIONS))
    assert rows['baseline'] == [1, 1, 0]
    assert -1 <= rows['model'][0] < 1
    assert rows['model'][0] != rows['model'][1]
    assert Image.open(out).width > Image.open(out).height
    again = table(run_tool(TOOL, config, semi, '-o', out, *OPTIONS))
    assert again == {'model': rows['model']}  # the same crops, whatever it is compared with


def test_the_numbers_are_those_of_all_pairs_one_by_one(run_tool, trained):
    tool = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / TOOL))
    generator = torch.Generator().manual_seed(0)
    feature = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64)
    label = torch.tensor([0, 2, 2, 255, 0, 7, 7, 7, 0, 2, 255, 0])
    prediction = torch.zeros(2, 12, dtype=torch.long)
    prediction[1, :3] = 4
    result = tool['measure'](tool['Cells'](feature, prediction, label))
    cosine = torch.cosine_similarity(feature[0][:, None], feature[1][None], dim=2)
    known = label != 255
    differ = (label[:, None] != label) & known[:, None] & known
    expected = dict(same=cosine.diagonal().mean(), other=cosine[differ].mean(), flips=3 / 12)
    assert result == pytest.approx({name: float(value) for name, value in expected.items()})


def test_images_without_room_for_two_contexts_are_named_with_the_way_out(run_tool, trained, tmp_path):
    config, semi, _ = trained
    out = tmp_path / 'tsne.png'
    done = run_tool(TOOL, config, semi, '-o', out, '--crop-size', 40, 48)
    assert done.returncode == 1
    assert re.search(r'too small for two crops of \(40, 48\) .*choose a smaller --crop-size$', done.stderr)
    done = run_tool(TOOL, config, semi, '-o', out, '--crop-size', 36, 36, '--stride', 4)
    assert re.search(r'cannot be pooled to stride=4', done.stderr)
    assert not out.exists()
