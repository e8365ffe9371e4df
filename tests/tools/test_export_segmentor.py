import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader
from mmseg.apis import MMSegInferencer, inference_model, init_model
from mmseg.registry import MODELS

from mmseg_semi.datasets.textured_scenes import CLASSES

TOOL = Path(__file__).parents[2] / 'tools/model_converters/export_segmentor.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('export_segmentor', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_cascade(segmentor):
    """Turn the tiny network into a small OCRNet."""
    common = dict(
        num_classes=len(CLASSES), align_corners=False, norm_cfg=segmentor.decode_head.norm_cfg, in_index=3,
        in_channels=64, channels=8,
    )  # fmt: skip
    segmentor.type, segmentor.num_stages = 'CascadeEncoderDecoder', 2
    segmentor.decode_head = [
        dict(type='FCNHead', num_convs=1, concat_input=False, **common),
        dict(type='OCRHead', ocr_channels=8, **common),
    ]


@pytest.fixture(params=['EncoderDecoder', 'CascadeEncoderDecoder'])
def saved(request, tiny_config, tmp_path):
    cfg = tiny_config()
    if request.param == 'CascadeEncoderDecoder':
        make_cascade(cfg.model.segmentor)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).eval()
    for parameter in model.student.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    path = tmp_path / 'iter_4.pth'
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=CLASSES, palette=[[9, 9, 9]] * len(CLASSES)), iter=4)
    torch.save(dict(state_dict=model.state_dict(), meta=meta, optimizer=dict(a=1), message_hub={}), path)
    return cfg, model, path


def export(tool, monkeypatch, *args):
    monkeypatch.setattr(sys, 'argv', ['export_segmentor.py', *map(str, args)])
    tool.main()


@pytest.mark.parametrize(('options', 'predict_on', 'branch'), [
    (['--predict-on', 'teacher'], 'student', 'teacher'),
    (['--predict-on', 'student'], 'teacher', 'student'),
    ([], 'teacher', 'teacher'),
    ([], 'student', 'student'),
])  # fmt: skip
def test_the_supervised_config_loads_the_export_exactly_and_gives_equal_logits(
    tool, saved, tmp_path, monkeypatch, options, predict_on, branch
):
    cfg, model, path = saved
    checkpoint = torch.load(path, weights_only=True)
    cfg.model.predict_on = predict_on
    torch.save({**checkpoint, 'meta': {**checkpoint['meta'], 'cfg': cfg.pretty_text}}, path)
    export(tool, monkeypatch, path, tmp_path / 'plain.pth', *options)
    exported = CheckpointLoader.load_checkpoint(str(tmp_path / 'plain.pth'), map_location='cpu')
    assert set(exported) == {'meta', 'state_dict'}
    assert exported['meta']['dataset_meta']['classes'] == CLASSES
    plain = MODELS.build(cfg.model.segmentor).eval()
    plain.load_state_dict(exported['state_dict'], strict=True)
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(plain(image, mode='tensor'), getattr(model, branch)(image, mode='tensor'))


def test_the_config_beside_it_and_the_semi_supervised_one_serve_mmsegs_inference(
    tool, saved, tmp_path, monkeypatch, tiny_data
):
    cfg, _, path = saved
    image = str(tiny_data / 'images/val/val_0000.png')
    export(tool, monkeypatch, path, tmp_path / 'plain.pth', '--with-config')
    plain = init_model(Config.fromfile(tmp_path / 'plain.py'), str(tmp_path / 'plain.pth'), device='cpu')
    cfg.dump(tmp_path / 'semi.py')
    semi = init_model(str(tmp_path / 'semi.py'), str(path), device='cpu')
    assert plain.dataset_meta['classes'] == semi.dataset_meta['classes'] == CLASSES
    expected = inference_model(semi, image).seg_logits.data
    assert torch.equal(inference_model(plain, image).seg_logits.data, expected)
    inferencer = MMSegInferencer(str(tmp_path / 'semi.py'), str(path), device='cpu')
    assert (inferencer(image)['predictions'] == expected.argmax(0).numpy()).all()


def test_what_cannot_be_exported_is_said_in_one_sentence(tool, saved, tmp_path, monkeypatch):
    _, model, path = saved
    torch.save(dict(state_dict=model.student.state_dict()), tmp_path / 'supervised.pth')
    with pytest.raises(SystemExit, match='no weight of a teacher in it'):
        export(tool, monkeypatch, tmp_path / 'supervised.pth', tmp_path / 'out.pth')
    with pytest.raises(SystemExit, match='there is no checkpoint nowhere'):
        export(tool, monkeypatch, 'nowhere.pth', tmp_path / 'out.pth')
    with pytest.raises(SystemExit, match='exists; give --force'):
        export(tool, monkeypatch, path, tmp_path / 'supervised.pth')


def test_the_plain_config_has_no_scope_that_mmseg_alone_does_not_know(tool, tmp_path):
    scenes = 'supervised_deeplabv3plus_r18-slim_1xb4-800_scenes-16-96x96.py'
    (tmp_path / 'config.py').write_text(
        f"_base_ = 'mmseg_semi::supervised/{scenes}'\nvisualizer = dict(_scope_='mmseg')\n"
    )
    cfg = Config.fromfile(tmp_path / 'config.py')
    assert cfg.test_dataloader.dataset._scope_ == 'mmseg_semi'
    plain = tool.plain_config(cfg)
    assert "_scope_='mmseg_semi'" not in plain.pretty_text
    assert plain.visualizer._scope_ == 'mmseg'
    assert plain.test_pipeline == Config.fromfile(TOOL.parents[2] / 'configs/supervised' / scenes).test_pipeline
