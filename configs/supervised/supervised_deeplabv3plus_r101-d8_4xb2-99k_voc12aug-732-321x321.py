_base_ = './supervised_deeplabv3plus_r101-d8_4xb2-93k_voc12aug-1_8-321x321.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='splits/732/labeled.txt')))
unlabeled = dict(ann_file='splits/732/unlabeled.txt')
train_cfg = dict(max_iters=98560)  # 9850 unlabelled images
