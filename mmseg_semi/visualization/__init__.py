from .panel import colorize, heat, panel
from .views import draw_sample

__all__ = ['colorize', 'draw_sample', 'heat', 'panel']
