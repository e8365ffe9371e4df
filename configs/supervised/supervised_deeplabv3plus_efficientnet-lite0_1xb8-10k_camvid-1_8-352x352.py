_base_ = [
    '../_base_/models/deeplabv3plus_efficientnet-lite0.py',
    '../_base_/datasets/semi_camvid_480x360.py',
    '../_base_/schedules/schedule_10k.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
segmentor.decode_head.num_classes = 11
segmentor.auxiliary_head.num_classes = 11
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
# The teacher keeps 0.995 a step.
default_hooks = dict(
    mean_teacher=dict(momentum=0.005, warmup=True),
    checkpoint=dict(interval=2000, max_keep_ckpts=5),
)
