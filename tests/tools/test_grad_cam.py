import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image

from mmseg_semi.datasets.textured_scenes import CLASSES
from mmseg_semi.models import load_segmentor

pytest.importorskip('pytorch_grad_cam')
TOOL = 'analysis_tools/grad_cam.py'


@pytest.fixture
def trained(tiny_config, tmp_path):
    """A config whose teacher predicts the third and whose student the sixth class, its checkpoint, and an image."""
    cfg = tiny_config()
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    for network, label in ((model.teacher, 2), (model.student, 5)):
        network.decode_head.conv_seg.weight.data[label] = torch.rand(8, 1, 1)
        network.decode_head.conv_seg.bias.data[label] = 1e4
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'semi.pth')
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'image.png')
    return tmp_path / 'config.py', tmp_path / 'semi.pth', tmp_path / 'image.png'


@pytest.mark.parametrize('branch', ['teacher', 'student'])
def test_a_pixel_is_explained_by_the_class_that_the_chosen_branch_predicts_there(run_tool, trained, tmp_path, branch):
    out = tmp_path / 'new/cam.png'
    done = run_tool(TOOL, *trained, '--pixel', 55, 39, '--predict-on', branch, '-o', out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'{CLASSES[2 if branch == "teacher" else 5]} at backbone.layer4: {out}'
    picture = np.array(Image.open(out))
    left, right = np.array_split(picture, 2, axis=1)
    assert (left[26:-6, :-8] != right[26:-6, 8:]).any()


def test_a_plain_checkpoint_is_explained_at_any_layer_and_a_class_that_is_not_predicted_too(
    run_tool, trained, tmp_path
):
    config, checkpoint, image = trained
    state_dict = torch.load(checkpoint, weights_only=False)['state_dict']
    plain = {key[8:]: value for key, value in state_dict.items() if key.startswith('teacher.')}
    torch.save(plain, tmp_path / 'plain.pth')
    out = tmp_path / 'cam.png'
    options = ('--layer', 'backbone.layer3.0.conv1', '-o', out)
    done = run_tool(TOOL, config, tmp_path / 'plain.pth', image, '--class', CLASSES[2], *options)
    assert done.stdout.splitlines()[-1] == f'{CLASSES[2]} at backbone.layer3.0.conv1: {out}'
    assert 'predicted nowhere' not in done.stdout
    done = run_tool(TOOL, config, tmp_path / 'plain.pth', image, '--class', CLASSES[1], *options)
    assert f'{CLASSES[1]} is predicted nowhere' in done.stdout


def test_grad_cam_is_that_of_its_definition(run_tool, trained):
    tool = runpy.run_path(str(Path(__file__).parents[2] / 'tools' / TOOL))
    config, checkpoint, _ = trained
    model = tool['Logits'](load_segmentor(Config.fromfile(config), str(checkpoint)))
    image = torch.randn(1, 3, 32, 48)
    layer, logits = tool['find_layer'](model, image, None)
    where = np.zeros((32, 48), dtype=bool)
    where[3:9, 20:30] = True
    found = tool['explain'](model, image, layer, 2, where)

    features = model.segmentor.extract_feat(image)
    score = F.interpolate(model.segmentor.decode_head(features), (32, 48), mode='bilinear', align_corners=False)
    torch.testing.assert_close(score, logits)
    (gradient,) = torch.autograd.grad(score[0, 2][torch.from_numpy(where)].sum(), features[-1])
    expected = (gradient.mean(dim=(2, 3), keepdim=True) * features[-1]).sum(dim=1).relu()
    assert expected.any()
    coarse = found[4::8, 4::8]  # where cells have their centres
    correlation = np.corrcoef(coarse.ravel(), expected.detach().numpy().ravel())[0, 1]
    assert correlation > 0.98
    assert (found.min(), found.max()) == pytest.approx((0, 1), abs=1e-3)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--class', 'unicorn'), "no class 'unicorn'; there are: "),
        (('--pixel', 56, 0), r'pixel [56, 0] lies outside'),
        (
            ('--pixel', 0, 0, '--layer', 'backbone.layr4'),
            "no layer 'backbone.layr4' of the network makes a feature map",
        ),
        (('--pixel', 0, 0, '--layer', 'auxiliary_head.conv_seg'), 'makes a feature map'),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(run_tool, trained, tmp_path, options, message):
    done = run_tool(TOOL, *trained, *options, '-o', tmp_path / 'cam.png')
    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / 'cam.png').exists()


def test_an_unreadable_image_or_a_checkpoint_that_does_not_fit_is_named(run_tool, trained, tmp_path):
    config, checkpoint, image = trained
    image.write_bytes(image.read_bytes()[:300])
    done = run_tool(TOOL, config, checkpoint, image, '--pixel', 0, 0)
    assert f'unreadable image {image}' in done.stderr.splitlines()[-1]
    Image.new('RGB', (40, 40)).save(image)
    torch.save(dict(state_dict={'backbone.a': torch.zeros(1)}), tmp_path / 'other.pth')
    done = run_tool(TOOL, config, tmp_path / 'other.pth', image, '--pixel', 0, 0)
    assert f'the checkpoint {tmp_path / "other.pth"} does not fit the config' in done.stderr.splitlines()[-1]
    done = run_tool(TOOL, config, tmp_path / 'none.pth', image, '--pixel', 0, 0)
    assert f'the checkpoint {tmp_path / "none.pth"} cannot be read' in done.stderr.splitlines()[-1]
