_base_ = './supervised_deeplabv3plus_vgg16_2xb4-93k_voc12aug-1_8-320x320.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='splits/1464/labeled.txt')))
unlabeled = dict(ann_file='splits/1464/unlabeled.txt')
train_cfg = dict(max_iters=91200)  # 9118 unlabelled images
