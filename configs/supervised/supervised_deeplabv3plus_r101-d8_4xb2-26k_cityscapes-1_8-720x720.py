_base_ = './supervised_deeplabv3plus_r50-d8_4xb2-26k_cityscapes-1_8-720x720.py'
model = dict(segmentor=dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101)))
