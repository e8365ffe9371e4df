_base_ = [
    '../supervised/supervised_pspnet_r50-d8_2xb4-106k_voc12aug-full-320x320.py',
    '../_base_/methods/context_aware_consistency.py',
]
# Labels alone for the first 5 of 80 passes.
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=6615, **_base_.method)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[1, 1]),
    dataset=dict(
        labeled_as_unlabeled=True,
        unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline[:2], *_base_.views]),
    ),
)
