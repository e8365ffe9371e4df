_base_ = '../structured_consistency/structured-consistency_deeplabv3plus_r101-d8_8xb3-29k_voc12aug-1_8-512x512.py'
inter_pixel = dict(type='InterPixelLoss', mode='kl', threshold=0.95, loss_weight=0.1)
model = dict(consistency=[_base_.model.consistency[0], inter_pixel])
