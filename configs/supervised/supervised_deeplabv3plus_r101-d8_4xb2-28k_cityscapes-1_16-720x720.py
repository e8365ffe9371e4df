_base_ = './supervised_deeplabv3plus_r101-d8_4xb2-26k_cityscapes-1_8-720x720.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='splits/1_16/labeled.txt')))
unlabeled = dict(ann_file='splits/1_16/unlabeled.txt')
train_cfg = dict(max_iters=27920)  # 2789 unlabelled images
