_base_ = [
    '../supervised/supervised_deeplabv3plus_efficientnet-lite0_1xb4-1200_camvid-1_8-160x160.py',
    '../_base_/methods/structured_consistency.py',
]
# The paper starts from a network that segments well. From ImageNet weights, half of this schedule learns from the
# labels alone, and the paper's weights of 20 and 3 would drown what rare classes still learn:
# see projects/camvid_benchmark.
method = _base_.method
method.consistency[0].loss_weight = 1.0
method.consistency[1].loss_weight = 0.15
model = dict(_delete_=True, segmentor=_base_.model.segmentor, unsup_start=600, unsup_rampup=200, **method)
# Fewer boxes than the paper's 32, which would be some 25 pixels wide in crops this small.
views = [
    dict(type='RandomCutMixRegion', num_boxes=4, area=0.5),
    dict(
        type='MultiView',
        weak=[],
        strong=[dict(type='StrongPhotometric', brightness=0.3, contrast=0.3, saturation=0.3, hue=0.1, gray_prob=0.1)],
    ),
]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(batch_size=8, source_ratio=[4, 4]),
    dataset=dict(unlabeled=dict(**_base_.unlabeled, pipeline=[*_base_.unlabeled_pipeline, *views])),
)
