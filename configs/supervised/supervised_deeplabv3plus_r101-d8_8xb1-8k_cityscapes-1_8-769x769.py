_base_ = './supervised_deeplabv3plus_r50-d8_8xb1-8k_cityscapes-1_8-769x769.py'
model = dict(segmentor=dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101)))
