_base_ = './structured-consistency_deeplabv3plus_r50-d8_8xb3-29k_voc12aug-1_8-512x512.py'
crop_size = (321, 321)
data_preprocessor = dict(size=crop_size)
model = dict(segmentor=dict(data_preprocessor=data_preprocessor))
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.labeled.pipeline[3].crop_size = crop_size
train_dataloader.dataset.unlabeled.pipeline[2].crop_size = crop_size
