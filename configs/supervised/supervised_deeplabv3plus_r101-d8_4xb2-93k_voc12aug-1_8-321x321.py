_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/semi_voc_500x500.py',
    '../_base_/schedules/schedule_80e.py',
    '../_base_/default_runtime.py',
]
crop_size = _base_.crop_size
segmentor = _base_.model
segmentor.data_preprocessor.size = crop_size
segmentor.pretrained = 'open-mmlab://resnet101_v1c'
segmentor.backbone.depth = 101
segmentor.decode_head.num_classes = 21
segmentor.auxiliary_head.num_classes = 21
segmentor.decode_head.loss_decode.avg_non_ignore = segmentor.auxiliary_head.loss_decode.avg_non_ignore = True
segmentor.decode_head.dropout_ratio = 0  # the student labels in training mode
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_dataloader = dict(batch_size=2, sampler=dict(batch_size=2))
train_cfg = dict(max_iters=92640)  # 9259 unlabelled images
