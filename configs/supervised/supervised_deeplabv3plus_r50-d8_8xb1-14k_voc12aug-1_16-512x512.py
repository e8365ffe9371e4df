_base_ = './supervised_deeplabv3plus_r50-d8_8xb1-29k_voc12aug-1_8-512x512.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='splits/1_16/labeled.txt')))
unlabeled = dict(ann_file='splits/1_16/unlabeled.txt')
train_cfg = dict(max_iters=14460)  # 661 labelled images
