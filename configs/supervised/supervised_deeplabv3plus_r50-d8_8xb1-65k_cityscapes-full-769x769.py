_base_ = '../structured_consistency/structured-consistency_deeplabv3plus_r50-d8_8xb3-65k_cityscapes-full-769x769.py'
model = dict(_delete_=True, type='SemiSegmentor', segmentor=_base_.model.segmentor)
train_dataloader = dict(batch_size=1, sampler=dict(batch_size=1, source_ratio=[1]), dataset=dict(unlabeled=None))
