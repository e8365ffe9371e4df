# Table 3, experiment V: both features are drawn to each other.
_base_ = './context-aware-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
model = dict(contrast=dict(directional=False))
