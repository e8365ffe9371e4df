# Cityscapes, 1/8 of the 2975 training images (372) labelled (docs/datasets/cityscapes.md). Lists:
#   python tools/dataset_converters/make_splits.py data/cityscapes/leftImg8bit/train data/cityscapes/splits/1_8 \
#       --fraction 1/8 --suffix _leftImg8bit.png \
#       --annotations data/cityscapes/gtFine/train --seg-map-suffix _gtFine_labelTrainIds.png --num-classes 19
_base_ = ['../tta.py']
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes/'
img_scale = (2049, 1025)
crop_size = (769, 769)

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
    data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
    ann_file='splits/1_8/labeled.txt',
    pipeline=labeled_pipeline,
)
# What a method adds to the training data, with its own views.
unlabeled = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='leftImg8bit/train'),
    img_suffix='_leftImg8bit.png',
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
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
# What the benchmark's server takes, label ids of the test images: tools/test.py --submission.
submission = dict(
    data_prefix=dict(img_path='leftImg8bit/test'),
    evaluator=dict(type='CityscapesMetric', format_only=True, keep_results=True),
)
