# The schedule of Lai et al. 2021: 80 passes over the unlabelled images, 8 of them and 8 labelled ones a step.
_base_ = [
    'mmseg::_base_/models/pspnet_r50-d8.py',
    '../_base_/datasets/semi_cityscapes.py',
    '../_base_/schedules/schedule_80e.py',
    '../_base_/default_runtime.py',
]
crop_size = (720, 720)
data_preprocessor = dict(size=crop_size)
segmentor = _base_.model
segmentor.data_preprocessor.size = crop_size
segmentor.test_cfg = dict(mode='slide', crop_size=crop_size, stride=(480, 480))
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_dataloader = _base_.train_dataloader
train_dataloader.update(batch_size=2)
train_dataloader.sampler.batch_size = 2
train_dataloader.dataset.labeled.pipeline[3].crop_size = crop_size
optim_wrapper = dict(optimizer=dict(lr=0.01))
train_cfg = dict(max_iters=26080)  # 2603 unlabelled images
