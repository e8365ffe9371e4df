_base_ = './supervised_deeplabv3plus_r50-d8_8xb1-29k_voc12aug-1_8-512x512.py'
crop_size = (321, 321)
model = dict(segmentor=dict(data_preprocessor=dict(size=crop_size)))
train_dataloader = _base_.train_dataloader
train_dataloader.dataset.labeled.pipeline[3].crop_size = crop_size
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[2].crop_size = crop_size
