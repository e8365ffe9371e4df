_base_ = [
    '../supervised/supervised_deeplabv3plus_r101-d8_4xb2-22k_cityscapes-1_4-720x720.py',
    '../_base_/methods/context_aware_consistency.py',
]
views = _base_.views
views[0].crop_size = _base_.crop_size
# Labels alone for the first 5 of 80 passes.
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=1395, **_base_.method)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(batch_size=4, source_ratio=[1, 1]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline[:2], *views])),
)
