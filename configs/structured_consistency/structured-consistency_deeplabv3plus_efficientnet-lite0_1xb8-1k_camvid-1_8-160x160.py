_base_ = [
    '../_base_/models/deeplabv3plus_efficientnet-lite0.py',
    '../_base_/datasets/semi_camvid.py',
    '../_base_/methods/structured_consistency.py',
    '../_base_/schedules/schedule_1k.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
segmentor.decode_head.num_classes = 11
segmentor.auxiliary_head.num_classes = 11
# The paper starts from a network that segments well. From ImageNet weights, first learn from the labels, then ramp up
# to weights at which the unsupervised gradients do not drown the supervised ones.
method = _base_.method
method.consistency[0].loss_weight = 5.0
method.consistency[1].loss_weight = 0.75
model = dict(_delete_=True, segmentor=segmentor, unsup_start=200, unsup_rampup=500, **method)
# The teacher must keep up with so short a schedule.
default_hooks = dict(mean_teacher=dict(momentum=0.02, warmup=True))
