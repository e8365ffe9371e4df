from .hooks import *  # noqa: F403
from .hooks import __all__ as _hooks
from .loops import SemiIterBasedTrainLoop, TeacherStudentValLoop

__all__ = ['SemiIterBasedTrainLoop', 'TeacherStudentValLoop', *_hooks]
