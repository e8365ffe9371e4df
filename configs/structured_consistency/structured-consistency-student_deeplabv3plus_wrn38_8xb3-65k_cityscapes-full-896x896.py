# Kim et al. 2020, Table 3: no EMA, neither for targets nor in validation.
_base_ = './structured-consistency_deeplabv3plus_wrn38_8xb3-65k_cityscapes-full-896x896.py'
model = dict(ema_teacher=False, predict_on='student')
