_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py',
    '../_base_/datasets/semi_voc.py',
    '../_base_/schedules/schedule_80e.py',
    '../_base_/default_runtime.py',
]
crop_size = (321, 321)
data_preprocessor = dict(size=crop_size)
segmentor = _base_.model
segmentor.data_preprocessor.size = crop_size
segmentor.pretrained = 'open-mmlab://resnet101_v1c'
segmentor.backbone.depth = 101
segmentor.decode_head.num_classes = 21
segmentor.auxiliary_head.num_classes = 21
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_dataloader = _base_.train_dataloader
train_dataloader.update(batch_size=2)
train_dataloader.sampler.batch_size = 2
train_dataloader.dataset.labeled.pipeline[3].crop_size = crop_size
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[2].crop_size = crop_size
train_cfg = dict(max_iters=46320)  # 9259 unlabelled images
