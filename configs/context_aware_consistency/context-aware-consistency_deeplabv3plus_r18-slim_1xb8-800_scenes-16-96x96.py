_base_ = [
    '../supervised/supervised_deeplabv3plus_r18-slim_1xb4-800_scenes-16-96x96.py',
    '../_base_/methods/context_aware_consistency.py',
]
# Chosen on another draw of the scenes, where the paper's 0.1 did as well and 0.3 did harm: projects/scenes_benchmark.
method = _base_.method
method.contrast.loss_weight = 0.03
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=200, **method)
# Images must be larger than crops to leave room for contexts; colours tell these classes apart.
own_augmentation = [
    dict(type='StrongPhotometric', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.03, gray_prob=0),
    dict(type='RandomFlip', prob=0.5),
]
views = [
    dict(type='RandomResize', scale=_base_.crop_size, ratio_range=(1.0, 1.5), keep_ratio=True),
    dict(type='PairedRandomCrop', crop_size=_base_.crop_size, stride=8),
    dict(type='MultiView', crop1=own_augmentation, crop2=own_augmentation),
]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[4, 4]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[_base_.unlabeled_pipeline[0], *views])),
)
