_base_ = '../fixmatch/fixmatch_deeplabv3plus_r101-d8_8xb6-46k_voc12aug-1_8-321x321.py'
inter_pixel = dict(type='InterPixelLoss', mode='kl', threshold=0.95, loss_weight=0.1)
model = dict(consistency=[*_base_.model.consistency, inter_pixel])
