_base_ = [
    '../_base_/models/deeplabv3plus_efficientnet-lite0.py',
    '../_base_/datasets/semi_camvid.py',
    '../_base_/schedules/schedule_1200.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
segmentor.decode_head.num_classes = 11
segmentor.auxiliary_head.num_classes = 11
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
# The teacher must keep up with so short a schedule.
default_hooks = dict(
    mean_teacher=dict(momentum=0.02, warmup=True),
    checkpoint=dict(interval=600, max_keep_ckpts=4),
)
