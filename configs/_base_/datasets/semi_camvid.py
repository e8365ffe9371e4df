# CamVid at half resolution, 1/8 of the 367 training images labelled (docs/datasets/camvid.md).
_base_ = ['../tta.py']
data_root = 'data/camvid/'
splits = '{{ fileDirname }}/splits/camvid/1_8/'
img_scale = (240, 180)
crop_size = (160, 160)
# The square root of median frequency balancing, from the 46 labelled images.
class_weight = [0.55, 0.46, 2.3, 0.41, 0.96, 0.75, 1.9, 1.9, 1.0, 2.9, 4.4]

resize = dict(type='RandomResize', scale=img_scale, ratio_range=(0.75, 1.25), keep_ratio=True)
flip = dict(type='RandomFlip', prob=0.5)
labeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    resize,
    dict(type='ClassUniformCrop', crop_size=crop_size),
    flip,
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
unlabeled_pipeline = [
    dict(type='LoadUnlabeledImage'),
    resize,
    dict(type='RandomCrop', crop_size=crop_size),
    flip,
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = _base_.tta_pipeline
tta_pipeline.insert(1, dict(type='Resize', scale=img_scale, keep_ratio=True))

labeled = dict(
    type='CamVidDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    ann_file=splits + 'labeled.txt',
    pipeline=labeled_pipeline,
)
# What a method adds to the training data, with its own views.
unlabeled = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/train'),
    ann_file=splits + 'unlabeled.txt',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', batch_size=4, source_ratio=[1], class_uniform=dict(share=0.5, tile=160)),
    collate_fn=dict(type='semi_collate'),
    dataset=dict(type='SemiDataset', labeled=labeled),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CamVidDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
