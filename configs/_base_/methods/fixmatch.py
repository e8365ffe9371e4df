# Sohn et al., FixMatch, NeurIPS 2020, for segmentation as in Yang et al., UniMatch, CVPR 2023
method = dict(type='FixMatch', consistency=[dict(type='PseudoLabelCrossEntropyLoss', threshold=0.95)])
views = [
    dict(type='RandomCutMixRegion', num_boxes=1, area=(0.02, 0.4), aspect_ratio=(0.3, 1 / 0.3), prob=0.5),
    dict(type='MultiView', weak=[], strong=[dict(type='StrongPhotometric')]),
]
