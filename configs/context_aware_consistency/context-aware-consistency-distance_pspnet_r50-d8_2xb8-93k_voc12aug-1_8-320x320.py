# Table 3, experiment I: the distance of features in place of contrast.
_base_ = './context-aware-consistency_pspnet_r50-d8_2xb8-93k_voc12aug-1_8-320x320.py'
model = dict(contrast=dict(_delete_=True, type='FeatureL2Loss', loss_weight=0.1))
