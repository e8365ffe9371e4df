_base_ = '../../configs/supervised/supervised_deeplabv3plus_r18-slim_1xb4-800_scenes-16-96x96.py'
custom_imports = dict(imports=['mmseg_semi', 'projects.own_method.classmix'], allow_failed_imports=False)
model = dict(_delete_=True, type='ClassMix', segmentor=_base_.model.segmentor, unsup_rampup=480)
views = [
    dict(
        type='MultiView',
        weak=[],
        strong=[dict(type='StrongPhotometric', brightness=0.2, contrast=0.2, saturation=0.2, hue=0.03, gray_prob=0)],
    ),
]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[4, 4]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline, *views])),
)
