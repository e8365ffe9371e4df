# The schedule of Lai et al. 2021: 80 passes over the unlabelled images, 8 of them and 8 labelled ones a step.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/semi_cityscapes_720x720.py',
    '../_base_/schedules/schedule_80e.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
segmentor.decode_head.loss_decode.avg_non_ignore = segmentor.auxiliary_head.loss_decode.avg_non_ignore = True
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
optim_wrapper = dict(optimizer=dict(lr=0.1))
train_cfg = dict(max_iters=26080)  # 2603 unlabelled images
