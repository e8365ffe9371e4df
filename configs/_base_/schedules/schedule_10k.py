_base_ = ['./schedule_1200.py']
param_scheduler = [dict(type='PolyLR', eta_min=1e-6, power=0.9, begin=0, end=10000, by_epoch=False)]
train_cfg = dict(max_iters=10000, val_interval=1000)
