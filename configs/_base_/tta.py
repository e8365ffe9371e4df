# Kim et al. 2020, section 4.2: scales 0.5, 1 and 2, horizontal flip. Their overlapping tiles are the test_cfg of the
# Cityscapes models, mode='slide'; the others see each scale as a whole, as VOC is evaluated, unless told the same.
tta_model = dict(type='ProbabilisticSegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale_factor=ratio, keep_ratio=True) for ratio in (0.5, 1.0, 2.0)],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
