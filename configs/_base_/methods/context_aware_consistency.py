# Lai et al., Semi-supervised Semantic Segmentation with Directional Context-aware Consistency, CVPR 2021
method = dict(
    type='ContextAwareConsistency',
    stride=8,
    projector=dict(type='Projector', out_channels=128),
    contrast=dict(type='DirectionalContrastiveLoss', temperature=0.1, pos_threshold=0.75, loss_weight=0.1),
    num_negatives=19200,
)
own_augmentation = [dict(type='StrongPhotometric'), dict(type='RandomFlip', prob=0.5)]
# In place of the crop and flip that end the geometry of other methods' views.
views = [
    dict(
        type='PairedRandomCrop',
        crop_size=(320, 320),
        stride=8,
        iou_range=(0.1, 1.0),
        pad_val=(103.53, 116.28, 123.675),  # the mean of ImageNet in BGR; what is padded is masked
    ),
    dict(type='MultiView', crop1=own_augmentation, crop2=own_augmentation),
]
