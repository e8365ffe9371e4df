_base_ = (
    '../structured_consistency/structured-consistency_deeplabv3plus_efficientnet-lite0_1xb8-1k_camvid-1_4-160x160.py'
)
model = dict(_delete_=True, type='SemiSegmentor', segmentor=_base_.model.segmentor)
train_dataloader = dict(batch_size=4, sampler=dict(batch_size=4, source_ratio=[1]), dataset=dict(unlabeled=None))
