# A multi-label classifier of mmpretrain for the embedded data, from scratch on a CPU. train.py sets the dataset's files
# and the number of classes.
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        base_channels=16,
        stem_channels=32,
        strides=(1, 2, 1, 1),  # maps of stride 8
        dilations=(1, 1, 2, 4),
        norm_cfg=dict(type='GN', num_groups=8),
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='MultiLabelLinearClsHead', num_classes=8, in_channels=128),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='MultiLabelDataset',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='ColorJitter', brightness=0.2, contrast=0.2, saturation=0.2),
            dict(type='PackInputs'),
        ],
    ),
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=1e-2), clip_grad=dict(max_norm=5.0))
param_scheduler = [dict(type='PolyLR', eta_min=1e-6, power=0.9, begin=0, end=400, by_epoch=False)]
train_cfg = dict(by_epoch=False, max_iters=400)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=100, max_keep_ckpts=1),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
