# Table 3, experiment III: negatives of the same pseudo label count too, and unsure positives.
_base_ = './context-aware-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
model = dict(contrast=dict(pos_threshold=0.0, negative_sampling=False))
