import copy

import pytest
import torch
from conftest import binary, cascade, knet, mask_classification, pidnet, tiny_segmentor
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_semi.models import SemiSegmentor, View, load_segmentor


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def build(method='SemiSegmentor', segmentor=None, **options):
    return MODELS.build(dict(type=method, segmentor=segmentor or tiny_segmentor(), **options))


def settings(model, cfg):
    """Learning rate and weight decay of every optimised parameter."""
    groups = build_optim_wrapper(model, cfg).optimizer.param_groups
    return {id(p): (group['lr'], group['weight_decay']) for group in groups for p in group['params']}


@pytest.mark.parametrize('paramwise', [
    None, dict(custom_keys={'backbone': dict(lr_mult=0.1), 'head': dict(lr_mult=10, decay_mult=0)}, norm_decay_mult=0),
])  # fmt: skip
def test_optimizer_settings_mean_what_they_mean_for_the_segmentor_alone(paramwise):
    cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, weight_decay=0.01), paramwise_cfg=paramwise)
    model = build('CutMixMeanTeacher')
    alone = settings(model.student, cfg)
    assert settings(model, cfg) == alone
    assert not any(id(p) in alone for p in model.teacher.parameters())


def test_a_layer_decay_constructor_sees_the_names_that_it_tests_for():
    segmentor = tiny_segmentor()
    segmentor['backbone'] = dict(
        type='BEiT', img_size=(32, 32), embed_dims=16, num_layers=2, num_heads=2, out_indices=(0, 1), qv_bias=True
    )
    for key in ('decode_head', 'auxiliary_head'):
        segmentor[key].update(in_channels=16, in_index=1)
    cfg = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.01),
        constructor='LearningRateDecayOptimizerConstructor',
        paramwise_cfg=dict(num_layers=2, decay_rate=0.5, decay_type='layer_wise'),
    )  # fmt: skip
    model = build(segmentor=segmentor)
    assert settings(model, cfg) == settings(model.student, cfg)
    assert len({lr for lr, _ in settings(model, cfg).values()}) > 2


def test_a_method_s_own_heads_are_optimised_and_the_teacher_is_not():
    model = build()
    model.projector = nn.Linear(3, 4)
    model.temperature = nn.Parameter(torch.ones(()))
    names = dict(model.named_parameters())
    assert {'projector.weight', 'temperature', 'backbone.stem.0.weight'} <= names.keys()
    assert len(names) == len(dict(model.student.named_parameters())) + 3
    model._loss_idle()['loss_idle'].backward()
    assert [name for name, p in names.items() if p.grad is not None] == [
        'temperature', 'projector.weight', 'projector.bias'
    ]  # fmt: skip


def test_a_plain_checkpoint_fills_student_and_teacher(tmp_path):
    plain, model = MODELS.build(tiny_segmentor()), build()
    torch.save(dict(state_dict=plain.state_dict()), tmp_path / 'plain.pth')
    load_checkpoint(model, str(tmp_path / 'plain.pth'), map_location='cpu')
    for branch in (model.student, model.teacher):
        assert all(torch.equal(value, branch.state_dict()[name]) for name, value in plain.state_dict().items())


@pytest.mark.parametrize('spoil', [
    lambda state: state.pop('decode_head.conv_seg.weight'),
    lambda state: state.update({'neck.weight': torch.zeros(1)}),
    lambda state: state.update({'decode_head.conv_seg.weight': torch.zeros(3, 8, 1, 1)}),
])  # fmt: skip
def test_a_checkpoint_that_does_not_fit_is_refused_with_the_weight_s_name(tmp_path, spoil):
    state = MODELS.build(tiny_segmentor()).state_dict()
    spoil(state)
    torch.save(dict(state_dict=state), tmp_path / 'plain.pth')
    with pytest.raises(RuntimeError, match=r'does not fit SemiSegmentor, 2 weights differ: .*(conv_seg|neck)\.weight'):
        load_checkpoint(build(), str(tmp_path / 'plain.pth'), map_location='cpu')


def test_the_teacher_stays_in_eval_mode_without_gradient_and_starts_as_the_student():
    model = build()
    model.init_weights()
    model.train()
    assert model.student.training
    assert not any(module.training for module in model.teacher.modules())
    assert not any(p.requires_grad for p in model.teacher.parameters())
    student, teacher = model.student.state_dict(), model.teacher.state_dict()
    assert all(torch.equal(student[name], teacher[name]) for name in student)


def test_pretrained_weights_reach_the_teacher(tmp_path):
    plain = MODELS.build(tiny_segmentor())
    torch.save(dict(state_dict=plain.backbone.state_dict()), tmp_path / 'backbone.pth')
    segmentor = tiny_segmentor()
    segmentor['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
    model = build(segmentor=segmentor)
    model.init_weights()
    for name, value in plain.backbone.state_dict().items():
        assert torch.equal(model.teacher.backbone.state_dict()[name], value), name


def test_types_move_with_the_model_in_both_branches():
    model = build().double()
    assert {p.dtype for branch in (model.student, model.teacher) for p in branch.parameters()} == {torch.float64}


def test_synchronised_batch_norm_can_be_reverted():
    segmentor = copy.deepcopy(tiny_segmentor('SyncBN'))
    model = revert_sync_batchnorm(build(segmentor=segmentor)).train()
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in model.student.modules())
    assert model.seg_logits(model.student, torch.rand(2, 3, 32, 32)).shape == (2, 8, 32, 32)


@pytest.mark.parametrize(
    ('segmentor', 'channels'), [(tiny_segmentor, 8), (cascade, 8), (binary, 2), (pidnet, 8), (knet, 8)]
)
def test_logits_have_image_size_and_carry_gradients_for_any_kind_of_segmentor(segmentor, channels):
    model = build(segmentor=segmentor()).train()
    logits = model.seg_logits(model.student, torch.rand(2, 3, 32, 48))
    assert logits.shape == (2, channels, 32, 48)
    logits.sum().backward()
    assert any(p.grad is not None for p in model.student.parameters())
    assert all(module.training for module in model.student.modules())


def test_scores_of_mask_classification_are_shares_of_probability():
    model = build('FixMatch', mask_classification()).double()
    image = torch.randn(2, 3, 32, 48, dtype=torch.float64)
    logits = model.seg_logits(model.student, image)
    scores = model.student.encode_decode(image, [dict(img_shape=(32, 48))] * 2).clamp(min=1e-6)
    torch.testing.assert_close(logits.softmax(dim=1), scores / scores.sum(dim=1, keepdim=True))
    assert logits.softmax(dim=1).max() > 0.95 > scores.softmax(dim=1).max()
    logits.sum().backward()
    assert model.student.decode_head.masks.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('branch', ['teacher', 'student'])
def test_predictions_are_those_of_the_branch(branch):
    model = build(predict_on=branch)
    for p in model.teacher.parameters():
        p.data.mul_(2)
    model.eval()
    image = torch.rand(1, 3, 32, 32)
    expected = getattr(model, branch).predict(image)[0].seg_logits.data
    assert torch.equal(model(image, mode='predict')[0].seg_logits.data, expected)
    assert model.out_channels == 8


def test_sliding_windows_of_the_config_are_the_predictor_s():
    segmentor = dict(tiny_segmentor(), test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(16, 16)))
    model = build(segmentor=segmentor).eval()
    image = torch.rand(1, 3, 40, 48)
    logits = model.predict(image)[0].seg_logits.data
    assert torch.equal(logits, model.teacher.predict(image)[0].seg_logits.data)
    model.teacher.test_cfg.mode = 'whole'
    assert not torch.equal(logits, model.predict(image)[0].seg_logits.data)


@pytest.mark.parametrize(('own', 'mean'), [(True, 127.0), (False, 3.0)])
def test_a_config_s_data_preprocessor_yields_to_the_segmentor_s_own_as_in_mmseg(tiny_config, tmp_path, own, mean):
    cfg = tiny_config('SemiSegmentor')
    cfg.data_preprocessor = dict(cfg.model.segmentor.data_preprocessor, mean=[3.0] * 3)
    if not own:
        cfg.model.segmentor.pop('data_preprocessor')
    model = Runner.from_cfg(cfg).model
    assert model.data_preprocessor.base.mean.flatten().tolist() == [mean] * 3
    torch.save(model.state_dict(), tmp_path / 'semi.pth')
    deployed = load_segmentor(cfg, str(tmp_path / 'semi.pth'))
    assert deployed.data_preprocessor.mean.flatten().tolist() == [mean] * 3


@pytest.mark.parametrize('loader', ['own', 'none'])
def test_a_deployed_segmentor_sees_images_as_at_test(tiny_config, tmp_path, loader):
    cfg = tiny_config('SemiSegmentor')
    tested = cfg.test_dataloader.dataset.pipeline
    cfg.test_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(96, 80)),
        dict(type='PackSegInputs'),
    ]
    if loader == 'none':
        cfg.test_dataloader = None
    torch.save(MODELS.build(cfg.model).state_dict(), tmp_path / 'semi.pth')
    deployed = load_segmentor(cfg, str(tmp_path / 'semi.pth'))
    assert deployed.cfg.test_pipeline == (tested if loader == 'own' else cfg.test_pipeline)


def test_a_copy_of_the_model_shares_no_tensor_with_it():
    model = build()
    copied = copy.deepcopy(model)
    storages = [{value.data_ptr() for value in m.state_dict().values() if value.numel()} for m in (model, copied)]
    assert not storages[0] & storages[1]
    assert copied.teacher is not copied.student


def test_targets_of_the_student_itself_leave_its_batch_statistics_alone():
    model = build(ema_teacher=False).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    image = torch.rand(2, 3, 32, 32)
    valid = torch.ones(2, 32, 32, dtype=torch.bool)
    target = model.teacher_target(View(image, valid, region=valid.long(), true_label=valid.long(), data_samples=[]))
    assert not target.logits.requires_grad
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.student.backbone.training
    torch.testing.assert_close(target.logits, model.seg_logits(model.student.eval(), image).detach())


@pytest.mark.parametrize(('iteration', 'weight'), [(9, 0.0), (10, 0.00674), (15, 0.2865), (20, 1.0), (99, 1.0)])
def test_the_unsupervised_weight_starts_and_ramps_up(iteration, weight):
    model = build(unsup_start=10, unsup_rampup=10)
    hub = MessageHub.get_instance(f'ramp {iteration}')
    hub.update_info('iter', iteration)
    assert model.unsup_weight() == pytest.approx(weight, rel=1e-3)


@pytest.mark.parametrize(('options', 'message'), [
    (dict(predict_on='ema'), "predict_on='ema' is neither"), (dict(unsup_start=-1), 'count iterations'),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_losses_of_labelled_and_unlabelled_images_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"loss_unlabeled returns \['loss_ce'\], and so does loss_labeled: name them"):
        build().combine(dict(loss_ce=torch.ones(())), dict(loss_ce=torch.zeros(())))


class TwoLabeledLosses(SemiSegmentor):
    """A method with a labelled loss of its own."""

    def loss_labeled(self, image, data_samples):
        return {**super().loss_labeled(image, data_samples), 'loss_own': image.sum()}


def test_a_labelled_loss_of_a_method_counts_before_unlabelled_images_do():
    model = TwoLabeledLosses(tiny_segmentor(), unsup_start=10)
    MessageHub.get_instance('before').update_info('iter', 3)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.zeros(1, 32, 32, dtype=torch.long)))] * 2
    losses = model.loss(dict(labeled=torch.ones(2, 3, 32, 32)), dict(labeled=samples))
    assert losses['loss_own'] == 2 * 3 * 32 * 32
    assert losses['decode.loss_ce'] > 0
