# French et al., Semi-supervised semantic segmentation needs strong, varied perturbations, BMVC 2020
_base_ = './structured_consistency.py'
method = _base_.method
method.consistency = method.consistency[:1]
