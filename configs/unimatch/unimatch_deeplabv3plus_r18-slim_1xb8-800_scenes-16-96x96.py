_base_ = [
    '../supervised/supervised_deeplabv3plus_r18-slim_1xb4-800_scenes-16-96x96.py',
    '../_base_/methods/unimatch.py',
]
model = dict(_delete_=True, segmentor=_base_.model.segmentor, **_base_.method)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[4, 4]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline, *_base_.views])),
)
