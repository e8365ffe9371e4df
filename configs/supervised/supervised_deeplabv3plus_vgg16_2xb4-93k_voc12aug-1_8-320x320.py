# The schedule of Lai et al. 2021: 80 passes over the unlabelled images, 8 of them and 8 labelled ones a step.
_base_ = [
    '../_base_/models/deeplabv3plus_vgg16.py',
    '../_base_/datasets/semi_voc.py',
    '../_base_/schedules/schedule_80e.py',
    '../_base_/default_runtime.py',
]
custom_imports = dict(imports=['mmseg_semi', 'mmpretrain.models'], allow_failed_imports=False)
crop_size = (320, 320)
data_preprocessor = dict(size=crop_size)
segmentor = _base_.model
segmentor.data_preprocessor.size = crop_size
segmentor.decode_head.num_classes = 21
segmentor.auxiliary_head.num_classes = 21
model = dict(_delete_=True, type='SemiSegmentor', segmentor=segmentor)
train_dataloader = _base_.train_dataloader
train_dataloader.update(batch_size=4)
train_dataloader.sampler.batch_size = 4
train_dataloader.dataset.labeled.pipeline[3].crop_size = crop_size
train_cfg = dict(max_iters=92640)  # 9259 unlabelled images
