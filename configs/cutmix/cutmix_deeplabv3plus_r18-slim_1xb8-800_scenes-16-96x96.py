# French et al., Semi-supervised semantic segmentation needs strong, varied perturbations, BMVC 2020
_base_ = '../structured_consistency/structured-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
model = dict(consistency=[_base_.model.consistency[0]])
