_base_ = './supervised_deeplabv3plus_r101-d8_2xb4-93k_voc12aug-1_8-320x320.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='ImageSets/Segmentation/trainaug.txt')))
unlabeled = dict(ann_file='ImageSets/Segmentation/trainaug.txt')
train_cfg = dict(max_iters=105840)  # 10582 images, labelled and unlabelled ones
