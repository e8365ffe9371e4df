# Table 3, experiment I: the distance of features in place of contrast.
_base_ = './context-aware-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
model = dict(contrast=dict(_delete_=True, type='FeatureL2Loss', loss_weight=0.03))
