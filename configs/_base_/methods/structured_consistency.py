# Kim et al., Structured Consistency Loss for Semi-Supervised Semantic Segmentation, 2020
method = dict(
    type='CutMixMeanTeacher',
    consistency=[
        dict(type='PixelConsistencyLoss', loss_weight=20.0),
        dict(type='StructuredConsistencyLoss', num_boxes=16, num_pairs=9000, loss_weight=3.0),
    ],
)
# Teacher and student see the same image, but for the boxes.
views = [
    dict(type='PhotoMetricDistortion'),
    dict(type='RandomCutMixRegion', num_boxes=32, area=0.5),
    dict(type='MultiView', weak=[], strong=[]),
]
