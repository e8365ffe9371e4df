# Yang et al., Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation, CVPR 2023
method = dict(type='UniMatch', consistency=[dict(type='PseudoLabelCrossEntropyLoss', threshold=0.95)])
strong = [
    dict(type='RandomCutMixRegion', num_boxes=1, area=(0.02, 0.4), aspect_ratio=(0.3, 1 / 0.3), prob=0.5),
    dict(type='StrongPhotometric'),
]
views = [dict(type='MultiView', weak=[], strong1=strong, strong2=strong)]
