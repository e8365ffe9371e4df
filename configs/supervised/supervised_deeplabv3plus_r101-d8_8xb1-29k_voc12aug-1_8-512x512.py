_base_ = '../structured_consistency/structured-consistency_deeplabv3plus_r101-d8_8xb3-29k_voc12aug-1_8-512x512.py'
model = dict(_delete_=True, type='SemiSegmentor', segmentor=_base_.model.segmentor)
train_dataloader = dict(batch_size=1, sampler=dict(batch_size=1, source_ratio=[1]), dataset=dict(unlabeled=None))
