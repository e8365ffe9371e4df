# Kim et al. 2020: the baseline of Table 2. It starts from the Mapillary stage, all but the classifier (docs/datasets/
# mapillary.md). Crops, and class-uniform sampling in 150 of 175 passes, as in Zhu et al. 2019, whom the paper follows.
_base_ = [
    '../_base_/models/deeplabv3plus_wrn38.py',
    '../_base_/datasets/semi_cityscapes.py',
    '../_base_/schedules/schedule_175e.py',
    '../_base_/default_runtime.py',
]
crop_size = (896, 896)
segmentor = _base_.model
segmentor.data_preprocessor.size = crop_size
segmentor.decode_head.loss_decode = dict(type='BoundaryRelaxedCrossEntropyLoss', window_size=3)
segmentor.test_cfg = dict(mode='slide', crop_size=crop_size, stride=(597, 597))
segmentor.init_cfg = dict(type='Pretrained', checkpoint='data/pretrained/deeplabv3plus_wrn38_mapillary.pth')
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_dataloader = _base_.train_dataloader
train_dataloader.sampler.class_uniform = dict(share=0.5, tile=1024, passes=150)
train_dataloader.dataset.labeled.ann_file = ''
train_dataloader.dataset.labeled.pipeline[3] = dict(type='ClassUniformCrop', crop_size=crop_size)
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[2].crop_size = crop_size
unlabeled = dict(data_prefix=dict(img_path='leftImg8bit/train_extra'), ann_file='')
train_cfg = dict(max_iters=65079)  # 2975 labelled images
