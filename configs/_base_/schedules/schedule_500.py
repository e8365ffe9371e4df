optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10.0),
)
param_scheduler = [dict(type='PolyLR', eta_min=1e-6, power=0.9, begin=0, end=500, by_epoch=False)]
train_cfg = dict(type='SemiIterBasedTrainLoop', max_iters=500, val_interval=250)
