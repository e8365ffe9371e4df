_base_ = [
    '../supervised/supervised_deeplabv3plus_efficientnet-lite0_1xb8-10k_camvid-1_8-352x352.py',
    '../_base_/methods/context_aware_consistency.py',
]
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=2000, **_base_.method)
views = _base_.views
views[0].crop_size = _base_.crop_size
train_dataloader = dict(
    batch_size=16,
    sampler=dict(batch_size=16, source_ratio=[8, 8]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline[:2], *views])),
)
