# Wu et al., IPixMatch, 2024: UniMatch with an inter-pixel loss. The sources give no formula, weight or threshold; see
# docs/ipixmatch.md for what was chosen.
_base_ = ['./unimatch.py']
method = _base_.method
method.consistency = [
    dict(type='PseudoLabelCrossEntropyLoss', threshold=0.95),
    dict(type='InterPixelLoss', mode='kl', threshold=0.95, loss_weight=0.1),
]
