from .boundary_iou import BoundaryIoUMetric
from .calibration import CalibrationMetric

__all__ = ['BoundaryIoUMetric', 'CalibrationMetric']
