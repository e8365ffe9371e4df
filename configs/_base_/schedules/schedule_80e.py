# 80 passes over the unlabelled images of VOC, 8 of them and 8 labelled ones a step (Lai et al. 2021; Yang et al.,
# UniMatch, 2023). A leaf sets train_cfg.max_iters; the learning rate ends there.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, by_epoch=False)]
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=2000)
