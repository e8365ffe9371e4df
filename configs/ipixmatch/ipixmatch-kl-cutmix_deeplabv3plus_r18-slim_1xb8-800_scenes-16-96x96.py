_base_ = [
    '../cutmix/cutmix_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py',
    '../_base_/inter_pixel.py',
]
model = dict(consistency=[*_base_.model.consistency, _base_.inter_pixel])
