_base_ = [
    '../supervised/supervised_deeplabv3plus_r101-d8_2xb4-99k_voc12aug-1_16-320x320.py',
    '../_base_/methods/context_aware_consistency.py',
]
# Labels alone for the first 5 of 80 passes.
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=6205, **_base_.method)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[1, 1]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline[:2], *_base_.views])),
)
