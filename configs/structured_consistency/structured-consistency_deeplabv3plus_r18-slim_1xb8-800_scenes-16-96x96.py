_base_ = [
    '../_base_/models/deeplabv3plus_r18-slim.py',
    '../_base_/datasets/semi_scenes.py',
    '../_base_/methods/structured_consistency.py',
    '../_base_/schedules/schedule_800.py',
    '../_base_/tta.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
segmentor.decode_head.num_classes = 8
# The paper starts from a network that segments well. From scratch, ramp up slowly, and to weights at which the
# unsupervised gradients do not drown the supervised ones.
method = _base_.method
method.consistency[0].loss_weight = 6.0
method.consistency[1].loss_weight = 0.9
model = dict(_delete_=True, segmentor=segmentor, unsup_rampup=480, **method)
# The teacher must keep up with so short a schedule.
default_hooks = dict(mean_teacher=dict(momentum=0.02, warmup=True))
