_base_ = './supervised_deeplabv3plus_r101-d8_8xb2-46k_voc12aug-1_8-321x321.py'
train_dataloader = dict(dataset=dict(labeled=dict(ann_file='splits/1_4/labeled.txt')))
unlabeled = dict(ann_file='splits/1_4/unlabeled.txt')
train_cfg = dict(max_iters=39680)  # 7936 unlabelled images
