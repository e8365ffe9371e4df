_base_ = [
    '../supervised/supervised_deeplabv3plus_r101-d8_4xb2-93k_voc12aug-1_8-321x321.py',
    '../_base_/methods/ipixmatch.py',
]
model = dict(_delete_=True, segmentor=_base_.model.segmentor, **_base_.method)
train_dataloader = dict(
    batch_size=6,
    sampler=dict(batch_size=6, source_ratio=[2, 4]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline, *_base_.views])),
)
