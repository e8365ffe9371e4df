# VOC 2012 with the 10582 training labels of the augmented set, 1/8 of them (1323) used (docs/datasets/voc.md). Lists:
#   python tools/dataset_converters/make_splits.py data/VOCdevkit/VOC2012/ImageSets/Segmentation/trainaug.txt \
#       data/VOCdevkit/VOC2012/splits/1_8 --fraction 1/8 \
#       --annotations data/VOCdevkit/VOC2012/SegmentationClassAug --num-classes 21
_base_ = ['../tta.py']
dataset_type = 'PascalVOCDataset'
data_root = 'data/VOCdevkit/VOC2012/'
img_scale = (2048, 512)
crop_size = (512, 512)

geometry = [
    dict(type='RandomResize', scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
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
unlabeled_pipeline = [dict(type='LoadUnlabeledImage'), *geometry]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = _base_.tta_pipeline
tta_pipeline.insert(1, dict(type='Resize', scale=img_scale, keep_ratio=True))

labeled = dict(
    type=dataset_type,
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassAug'),
    ann_file='splits/1_8/labeled.txt',
    pipeline=labeled_pipeline,
)
# What a method adds to the training data, with its own views.
unlabeled = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='JPEGImages'),
    ann_file='splits/1_8/unlabeled.txt',
)
train_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', batch_size=1, source_ratio=[1]),
    collate_fn=dict(type='semi_collate'),
    dataset=dict(type='SemiDataset', labeled=labeled),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
        ann_file='ImageSets/Segmentation/val.txt',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
