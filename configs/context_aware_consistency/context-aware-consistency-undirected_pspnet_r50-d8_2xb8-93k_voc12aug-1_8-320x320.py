# Table 3, experiment II: the plain contrastive loss.
_base_ = './context-aware-consistency_pspnet_r50-d8_2xb8-93k_voc12aug-1_8-320x320.py'
model = dict(contrast=dict(pos_threshold=0.0, negative_sampling=False, directional=False))
