# Kim et al. 2020, section 4.1: 175 epochs of the labelled set, with one labelled image on each of 8 GPUs. A leaf sets
# train_cfg.max_iters = 175 * labelled images / 8, rounded up; the learning rate ends there.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.002, momentum=0.9, weight_decay=0.001))
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=1.0, begin=0, by_epoch=False)]
train_cfg = dict(type='SemiIterBasedTrainLoop', val_interval=2000)
