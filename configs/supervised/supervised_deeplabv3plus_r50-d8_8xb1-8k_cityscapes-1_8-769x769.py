_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/semi_cityscapes.py',
    '../_base_/schedules/schedule_175e.py',
    '../_base_/default_runtime.py',
]
segmentor = _base_.model
segmentor.data_preprocessor.size = _base_.crop_size
relaxed = dict(type='BoundaryRelaxedCrossEntropyLoss', window_size=3)
segmentor.decode_head.align_corners = segmentor.auxiliary_head.align_corners = True
segmentor.decode_head.loss_decode = dict(**relaxed, loss_weight=1.0)
segmentor.auxiliary_head.loss_decode = dict(**relaxed, loss_weight=0.4)
segmentor.test_cfg = dict(mode='slide', crop_size=_base_.crop_size, stride=(513, 513))
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_cfg = dict(max_iters=8138)  # 372 labelled images
