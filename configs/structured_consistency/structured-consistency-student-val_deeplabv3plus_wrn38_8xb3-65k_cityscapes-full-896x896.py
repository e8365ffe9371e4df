# Kim et al. 2020, Table 3: targets with EMA, validation without.
_base_ = './structured-consistency_deeplabv3plus_wrn38_8xb3-65k_cityscapes-full-896x896.py'
model = dict(predict_on='student')
