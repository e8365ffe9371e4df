# Wu et al., IPixMatch, 2024: UniMatch with an inter-pixel loss
_base_ = ['./unimatch.py', '../inter_pixel.py']
method = _base_.method
method.consistency = [*method.consistency, _base_.inter_pixel]
