_base_ = './structured-consistency_deeplabv3plus_efficientnet-lite0_1xb8-1200_camvid-1_8-160x160.py'
splits = '{{ fileDirname }}/../_base_/datasets/splits/camvid/1_4/'
train_dataloader = dict(
    dataset=dict(
        labeled=dict(ann_file=splits + 'labeled.txt'),
        unlabeled=dict(ann_file=splits + 'unlabeled.txt'),
    )
)
