# Kim et al. 2020: "Ours+" in Table 1.
_base_ = [
    '../supervised/supervised_deeplabv3plus_wrn38_8xb1-76k_cityscapes-trainval-896x896.py',
    '../_base_/methods/structured_consistency.py',
]
model = dict(_delete_=True, segmentor=_base_.model.segmentor, **_base_.method)
train_dataloader = dict(
    batch_size=3,
    sampler=dict(batch_size=3, source_ratio=[1, 2]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline, *_base_.views])),
)
