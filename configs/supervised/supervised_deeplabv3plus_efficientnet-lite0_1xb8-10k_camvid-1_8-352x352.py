_base_ = [
    '../_base_/models/deeplabv3plus_efficientnet-lite0.py',
    '../_base_/datasets/semi_camvid_480x360.py',
    '../_base_/schedules/schedule_10k.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
for head in (segmentor.decode_head, segmentor.auxiliary_head):
    head.num_classes = 11
    # Plain cross entropy; mmseg 1.2.2's own has no class weights where pixels are ignored. 3 relaxes boundaries.
    head.loss_decode.update(type='BoundaryRelaxedCrossEntropyLoss', window_size=1, class_weight=_base_.class_weight)
    del head.loss_decode.avg_non_ignore
del head
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
# The teacher keeps 0.995 a step.
default_hooks = dict(
    mean_teacher=dict(momentum=0.005, warmup=True),
    checkpoint=dict(interval=2000, max_keep_ckpts=5),
)
