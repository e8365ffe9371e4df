# Yang et al., UniMatch, 2023, for Cityscapes: 240 passes over the unlabelled images, hard pixels only for the labels.
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/semi_cityscapes.py',
    '../_base_/schedules/schedule_80e.py',
    '../_base_/default_runtime.py',
]
crop_size = (801, 801)
segmentor = _base_.model
segmentor.data_preprocessor.size = crop_size
segmentor.pretrained = 'open-mmlab://resnet101_v1c'
segmentor.backbone.depth = 101
segmentor.decode_head.sampler = dict(type='MeanOHEMPixelSampler', thresh=0.7, min_kept=100000)
segmentor.auxiliary_head.loss_decode.avg_non_ignore = True
segmentor.test_cfg = dict(mode='slide', crop_size=crop_size, stride=(534, 534))
segmentor.decode_head.dropout_ratio = 0  # the student labels in training mode
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_dataloader = _base_.train_dataloader
train_dataloader.update(batch_size=2)
train_dataloader.sampler.batch_size = 2
train_dataloader.dataset.labeled.pipeline[3].crop_size = crop_size
train_dataloader.dataset.labeled.pipeline.pop(5)  # labelled images keep their colours
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[2].crop_size = crop_size
optim_wrapper = dict(optimizer=dict(lr=0.005), paramwise_cfg=dict(_delete_=True))
train_cfg = dict(max_iters=78240)  # 2603 unlabelled images
