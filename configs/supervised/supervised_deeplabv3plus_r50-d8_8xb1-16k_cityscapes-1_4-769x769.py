_base_ = './supervised_deeplabv3plus_r50-d8_8xb1-8k_cityscapes-1_8-769x769.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='splits/1_4/labeled.txt')))
unlabeled = dict(ann_file='splits/1_4/unlabeled.txt')
train_cfg = dict(max_iters=16275)  # 744 labelled images
