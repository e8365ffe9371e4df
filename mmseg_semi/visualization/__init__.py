from .panel import colorize, heat, panel, three_channels
from .views import draw_samples

__all__ = ['colorize', 'draw_samples', 'heat', 'panel', 'three_channels']
