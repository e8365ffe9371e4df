_base_ = '../cutmix/cutmix_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
inter_pixel = dict(type='InterPixelLoss', mode='kl', threshold=0.95, loss_weight=0.1)
model = dict(consistency=[*_base_.model.consistency, inter_pixel])
