_base_ = './supervised_deeplabv3plus_r50-d8_4xb2-26k_cityscapes-1_8-720x720.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='')))
unlabeled = dict(ann_file='')
train_cfg = dict(max_iters=29760)  # 2975 images, labelled and unlabelled ones
