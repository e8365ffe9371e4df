# From ImageNet weights; the heads are new and learn faster.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=5.0), auxiliary_head=dict(lr_mult=5.0))),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [dict(type='PolyLR', eta_min=1e-6, power=0.9, begin=0, end=1200, by_epoch=False)]
train_cfg = dict(type='SemiIterBasedTrainLoop', max_iters=1200, val_interval=300)
