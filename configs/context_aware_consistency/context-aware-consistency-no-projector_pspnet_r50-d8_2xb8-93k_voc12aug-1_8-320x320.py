# Table 3, experiment VII: features are compared as they are.
_base_ = './context-aware-consistency_pspnet_r50-d8_2xb8-93k_voc12aug-1_8-320x320.py'
model = dict(projector=None)
