# Table 3, experiment IV: unsure positives count too.
_base_ = './context-aware-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
model = dict(contrast=dict(pos_threshold=0.0))
