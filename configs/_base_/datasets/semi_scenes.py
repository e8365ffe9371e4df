# The embedded data: python tools/dataset_converters/textured_scenes.py data/textured_scenes
dataset_type = 'TexturedScenesDataset'
data_root = 'data/textured_scenes/'
crop_size = (96, 96)

geometry = [
    dict(type='RandomResize', scale=crop_size, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
]
labeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    *geometry,
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
unlabeled_pipeline = [
    dict(type='LoadUnlabeledImage'),
    *geometry,
    # Two boxes instead of the paper's 32, which would be a few pixels wide here, and mild colours, since they tell
    # these classes apart.
    dict(type='RandomCutMixRegion', num_boxes=2, area=0.5),
    dict(
        type='MultiView',
        weak=[],
        strong=[dict(type='StrongPhotometric', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.03, gray_prob=0)],
    ),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

labeled = dict(
    type=dataset_type,
    data_root=data_root,
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    ann_file='splits/labeled.txt',
    pipeline=labeled_pipeline,
)
unlabeled = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/train'),
    ann_file='splits/unlabeled.txt',
    pipeline=unlabeled_pipeline,
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', batch_size=8, source_ratio=[4, 4]),
    collate_fn=dict(type='semi_collate'),
    dataset=dict(type='SemiDataset', labeled=labeled, unlabeled=unlabeled),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
