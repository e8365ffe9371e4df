from .panel import colorize, heat, panel
from .views import draw_samples

__all__ = ['colorize', 'draw_samples', 'heat', 'panel']
