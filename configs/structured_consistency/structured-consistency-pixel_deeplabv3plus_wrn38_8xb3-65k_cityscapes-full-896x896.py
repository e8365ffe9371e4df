# Kim et al. 2020, Table 2: consistency loss alone.
_base_ = './structured-consistency_deeplabv3plus_wrn38_8xb3-65k_cityscapes-full-896x896.py'
model = dict(consistency=[dict(type='PixelConsistencyLoss', loss_weight=20.0)])
