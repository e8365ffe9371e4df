# Yang et al., UniMatch, 2023, for VOC: 80 passes over the unlabelled images, 16 of them and 16 labelled ones a step. A
# leaf sets train_cfg.max_iters; the learning rate ends there.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.001, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys=dict(decode_head=dict(lr_mult=10.0), auxiliary_head=dict(lr_mult=10.0))),
)
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, by_epoch=False)]
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=2000)
