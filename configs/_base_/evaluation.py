# All that can be said of a model without changing its images: set test_evaluator = _base_.evaluation in a config that
# inherits this file (docs/evaluation.md).
evaluation = [
    dict(type='IoUMetric', iou_metrics=['mIoU']),
    dict(type='BoundaryIoUMetric'),
    dict(type='CalibrationMetric'),
]
