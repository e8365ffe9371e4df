# A folder of your own images (docs/datasets/own_data.md). Copy this file and change the settings down to the line.
_base_ = ['mmseg_semi::_base_/tta.py']
data_root = 'data/mine/'
metainfo = dict(classes=('background', 'thing'), palette=[[0, 0, 0], [220, 20, 60]])
img_suffix = '.jpg'
img_scale = (640, 480)  # width and height that images are fitted into, before scale is drawn at random
crop_size = (256, 256)  # height and width that the network is trained on
batch_size = 4  # labelled images in a batch
# ----------------------------------------------------------------------------------------------------------------------

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

annotated = dict(type='BaseSegDataset', data_root=data_root, metainfo=metainfo, img_suffix=img_suffix)
labeled = dict(
    **annotated,
    data_prefix=dict(img_path='images/train', seg_map_path='annotations/train'),
    ann_file='splits/all/labeled.txt',
    pipeline=labeled_pipeline,
)
# What a method adds to the training data, with its own views.
unlabeled = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/train'),
    ann_file='splits/all/unlabeled.txt',
)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SemiSampler', batch_size=batch_size, source_ratio=[1]),
    collate_fn=dict(type='semi_collate'),
    dataset=dict(type='SemiDataset', labeled=labeled),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **annotated,
        data_prefix=dict(img_path='images/val', seg_map_path='annotations/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
