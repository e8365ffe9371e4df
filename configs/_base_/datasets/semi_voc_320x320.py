# Lai et al. 2021, section 4.1: training scales images to 0.5 to 2 times their own size and leaves the colours of
# labelled ones alone; tests are on images as they are. The longer side of nearly all images of VOC has
# 500 pixels.
_base_ = ['./semi_voc.py']
crop_size = (320, 320)

geometry = [
    dict(type='RandomResize', scale=(500, 500), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
]
labeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    *geometry,
    dict(type='PackSegInputs'),
]
unlabeled_pipeline = [dict(type='LoadUnlabeledImage'), *geometry]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = _base_.tta_pipeline
tta_pipeline.pop(1)  # a fixed size

train_dataloader = dict(
    batch_size=4,
    sampler=dict(batch_size=4),
    dataset=dict(labeled=dict(pipeline=labeled_pipeline)),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
