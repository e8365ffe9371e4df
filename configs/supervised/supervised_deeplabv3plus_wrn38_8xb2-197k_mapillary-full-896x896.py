# First stage of Kim et al. 2020, who say no more of it; rate, decay, epochs and batch are those of Zhu et al. 2019
# for Mapillary Vistas (docs/datasets/mapillary.md). The last of 66 classes, "Unlabeled", is never asked for.
_base_ = './supervised_deeplabv3plus_wrn38_8xb1-65k_cityscapes-full-896x896.py'
mapillary = dict(type='MapillaryDataset_v1', data_root='data/mapillary/')
segmentor = dict(
    init_cfg=None,
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='data/pretrained/wide_resnet38.pth')),
    decode_head=dict(num_classes=66),
)
model = dict(segmentor=segmentor)
train_dataloader = dict(
    batch_size=2,
    sampler=dict(batch_size=2, class_uniform=dict(passes=None)),
    dataset=dict(
        labeled=dict(
            **mapillary,
            data_prefix=dict(img_path='training/images', seg_map_path='training/v1.2/labels_mask'),
        )
    ),
)
val_dataloader = dict(
    dataset=dict(
        **mapillary,
        data_prefix=dict(img_path='validation/images', seg_map_path='validation/v1.2/labels_mask'),
    )
)
test_dataloader = val_dataloader
submission = None
optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=1e-4))
train_cfg = dict(max_iters=196875, val_interval=20000)  # 175 epochs of 18000 images, 16 a step
