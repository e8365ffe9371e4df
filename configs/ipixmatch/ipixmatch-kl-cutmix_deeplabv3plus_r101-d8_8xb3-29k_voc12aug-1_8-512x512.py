_base_ = [
    '../structured_consistency/structured-consistency_deeplabv3plus_r101-d8_8xb3-29k_voc12aug-1_8-512x512.py',
    '../_base_/inter_pixel.py',
]
model = dict(consistency=[_base_.model.consistency[0], _base_.inter_pixel])
