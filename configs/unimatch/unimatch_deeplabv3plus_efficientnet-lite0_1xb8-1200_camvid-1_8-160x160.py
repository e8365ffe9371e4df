_base_ = [
    '../supervised/supervised_deeplabv3plus_efficientnet-lite0_1xb4-1200_camvid-1_8-160x160.py',
    '../_base_/methods/unimatch.py',
]
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=600, **_base_.method)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[4, 4]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline, *_base_.views])),
)
