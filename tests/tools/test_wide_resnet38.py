"""The converter of published weights, at full width, on random ones that are laid out as the published ones are."""

import re
import runpy
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from mmseg_semi.models import WideResNet38

TOOL = Path(__file__).parents[2] / 'tools/model_converters/wide_resnet38.py'
BLOCKS = {2: 3, 3: 3, 4: 6, 5: 3, 6: 1, 7: 1}
CHANNELS = {
    2: (128, 128), 3: (256, 256), 4: (512, 512), 5: (512, 1024), 6: (512, 1024, 2048), 7: (1024, 2048, 4096),
}  # fmt: skip


def shapes():
    """Names and shapes of the published network, up to what follows a norm's name."""
    found, width = {'mod1.conv1.weight': (64, 3, 3, 3)}, 64
    for module, blocks in BLOCKS.items():
        for block in range(1, blocks + 1):
            at, given = f'mod{module}.block{block}', width
            for i, channels in enumerate(CHANNELS[module], 1):
                found[f'{at}.bn1' if i == 1 else f'{at}.convs.bn{i}'] = width
                kernel = 3 if len(CHANNELS[module]) == 2 or i == 2 else 1
                found[f'{at}.convs.conv{i}.weight'] = (channels, width, kernel, kernel)
                width = channels
            if given != width:
                found[f'{at}.proj_conv.weight'] = (width, given, 1, 1)
    return {**found, 'bn_out': 4096, 'classifier.fc.weight': (1000, 4096), 'classifier.fc.bias': (1000,)}


@pytest.fixture(scope='module')
def weights():
    torch.manual_seed(0)
    found = {}
    for name, shape in shapes().items():
        if isinstance(shape, int):
            found[f'{name}|weight'] = torch.rand(shape) * torch.randint(0, 2, (shape,)).mul(2).sub(1)
            found[f'{name}|bias'] = torch.randn(shape)
            found[f'{name}|running_mean'] = torch.randn(shape)
            found[f'{name}|running_var'] = torch.rand(shape) + 0.5
        else:
            fan_in = torch.Size(shape[1:]).numel()
            found[name] = torch.randn(shape) * fan_in**-0.5
    return found


def layout(weights, kind):
    """A published state dict."""
    named = {key.replace('|', '.' if kind == 'inplace_abn' else '.0.'): value for key, value in weights.items()}
    if kind == 'deeplab':
        named = {key: value for key, value in named.items() if not re.match('bn_out|classifier', key)}
        named.update({'aspp.features.0.0.weight': torch.zeros(1), 'bot_fine.weight': torch.zeros(1)})
        named.update({'bot_aspp.weight': torch.zeros(1), 'final.0.weight': torch.zeros(1)})
        counts = {key.replace('running_mean', 'num_batches_tracked') for key in named if 'running_mean' in key}
        named.update(dict.fromkeys(counts, torch.tensor(7)))
    return {f'module.{key}': value for key, value in named.items()}


def plain(weights, x, in_place):
    """Outputs of modules 2 and 7."""

    def norm_act(x, name):
        weight, bias, mean, var = (weights[f'{name}|{k}'] for k in ('weight', 'bias', 'running_mean', 'running_var'))
        weight = weight.abs() + 1e-5 if in_place else weight
        return F.leaky_relu(F.batch_norm(x, mean, var, weight, bias), 0.01 if in_place else 0.0)

    x = F.conv2d(x, weights['mod1.conv1.weight'], padding=1)
    outs = {}
    for module, blocks in BLOCKS.items():
        dilation = {5: 2, 6: 4, 7: 4}.get(module, 1)
        if module < 4:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in range(1, blocks + 1):
            at, stride = f'mod{module}.block{block}', 2 if (module, block) == (4, 1) else 1
            y = norm_act(x, f'{at}.bn1')
            if f'{at}.proj_conv.weight' in weights:
                x = F.conv2d(y, weights[f'{at}.proj_conv.weight'], stride=stride)
            for i in range(1, len(CHANNELS[module]) + 1):
                y = norm_act(y, f'{at}.convs.bn{i}') if i > 1 else y
                kernel = weights[f'{at}.convs.conv{i}.weight']
                pad = dilation if kernel.shape[-1] == 3 else 0
                y = F.conv2d(y, kernel, stride=stride if i == 1 else 1, padding=pad, dilation=dilation)
            x = x + y
        outs[module] = x
    return outs[2], outs[7]


@pytest.mark.parametrize('kind', ['imagenet', 'inplace_abn', 'deeplab'])
def test_the_backbone_computes_what_the_published_network_does(run_tool, weights, tmp_path, kind):
    torch.save(dict(state_dict=layout(weights, kind), epoch=1), tmp_path / 'published.pth.tar')
    done = run_tool('model_converters/wide_resnet38.py', tmp_path / 'published.pth.tar', tmp_path / 'out/wrn.pth')
    assert done.returncode == 0, done.stderr
    in_place = kind == 'inplace_abn'
    assert ('LeakyReLU' in done.stdout) == in_place
    act_cfg = dict(type='LeakyReLU', negative_slope=0.01) if in_place else None
    with torch.device('meta'):
        backbone = WideResNet38(act_cfg=act_cfg).eval()
    backbone.load_state_dict(torch.load(tmp_path / 'out/wrn.pth')['state_dict'], strict=True, assign=True)
    image = torch.randn(1, 3, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(backbone(image), plain(weights, image, in_place), rtol=1e-3, atol=1e-3)
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['wrn.pth']


def test_a_converted_checkpoint_stays_as_it_is(weights):
    convert = runpy.run_path(str(TOOL))['convert']
    once, _ = convert(layout(weights, 'inplace_abn'))
    twice, in_place = convert(once)
    assert not in_place
    assert all(twice[key].equal(value) for key, value in once.items())


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda state: state.clear() or state.update(a=torch.zeros(1)), 'a: not in the network'),
        (
            lambda state: state.pop('module.mod7.block1.convs.conv3.weight'),
            '1 differ: mod7.block1.convs.conv3.weight: m',
        ),
        (
            lambda state: state.update({'module.mod1.conv1.weight': torch.zeros(64, 1, 3, 3)}),
            r'mod1.conv1.weight: (64, 1, 3, 3) instead of (64, 3, 3, 3)',
        ),
    ],
)
def test_other_weights_are_refused_in_one_sentence_and_nothing_written(run_tool, weights, tmp_path, spoil, message):
    state = layout(weights, 'imagenet')
    spoil(state)
    torch.save({key: value.to('meta') for key, value in state.items()}, tmp_path / 'other.pth')
    done = run_tool('model_converters/wide_resnet38.py', tmp_path / 'other.pth', tmp_path / 'out.pth')
    assert done.returncode == 1
    assert f'{tmp_path / "other.pth"}: the weights are not those of WideResNet38' in done.stderr
    assert message in done.stderr
    assert not (tmp_path / 'out.pth').exists()
