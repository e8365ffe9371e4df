# The paper's setting: all fine labels, and the images of the coarse set (leftImg8bit/train_extra) without their labels.
_base_ = './supervised_deeplabv3plus_r50-d8_8xb1-8k_cityscapes-1_8-769x769.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='')))
unlabeled = dict(data_prefix=dict(img_path='leftImg8bit/train_extra'), ann_file='')
train_cfg = dict(max_iters=65079)  # 2975 labelled images
