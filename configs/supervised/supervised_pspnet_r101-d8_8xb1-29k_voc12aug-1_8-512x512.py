_base_ = './supervised_pspnet_r50-d8_8xb1-29k_voc12aug-1_8-512x512.py'
model = dict(segmentor=dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101)))
