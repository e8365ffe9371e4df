_base_ = './supervised_deeplabv3plus_r50-d8_2xb4-93k_voc12aug-1_8-320x320.py'
model = dict(segmentor=dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101)))
