_base_ = [
    '../supervised/supervised_deeplabv3plus_r18-slim_1xb4-800_scenes-16-96x96.py',
    '../_base_/methods/structured_consistency.py',
]
# The paper starts from a network that segments well. From scratch, ramp up slowly, and to weights at which the
# unsupervised gradients do not drown the supervised ones.
method = _base_.method
method.consistency[0].loss_weight = 6.0
method.consistency[1].loss_weight = 0.9
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_rampup=480, **method)
# Two boxes instead of the paper's 32, which would be some 15 pixels wide here, and mild colours, since they tell these
# classes apart.
views = [
    dict(type='RandomCutMixRegion', num_boxes=2, area=0.5),
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
