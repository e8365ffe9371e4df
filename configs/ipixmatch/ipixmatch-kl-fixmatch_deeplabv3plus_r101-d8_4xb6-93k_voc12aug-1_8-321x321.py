_base_ = [
    '../fixmatch/fixmatch_deeplabv3plus_r101-d8_4xb6-93k_voc12aug-1_8-321x321.py',
    '../_base_/inter_pixel.py',
]
model = dict(consistency=[*_base_.model.consistency, _base_.inter_pixel])
