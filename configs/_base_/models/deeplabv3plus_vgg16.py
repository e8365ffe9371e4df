# DeepLabv3+ on VGG-16 with batch norm, of mmpretrain: stride 16, and low-level features at stride 4.
norm_cfg = dict(type='SyncBN', requires_grad=True)
head = dict(dropout_ratio=0.1, num_classes=21, norm_cfg=norm_cfg, align_corners=False)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(
        type='mmpretrain.VGG',
        depth=16,
        norm_cfg=norm_cfg,
        out_indices=(1, 3, 4),
        with_last_pool=False,
        dilations=(1, 1, 1, 1, 2),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/vgg/vgg16_bn_batch256_imagenet_20210208-7e55cd29.pth',
            prefix='backbone.',
        ),
    ),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=512,
        in_index=2,
        channels=512,
        dilations=(1, 6, 12, 18),
        c1_in_channels=128,
        c1_channels=48,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
        **head,
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=512,
        in_index=1,
        channels=256,
        num_convs=1,
        concat_input=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
        **head,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
del head
