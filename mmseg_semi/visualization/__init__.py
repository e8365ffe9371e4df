from .panel import colorize, heat, panel

__all__ = ['colorize', 'heat', 'panel']
