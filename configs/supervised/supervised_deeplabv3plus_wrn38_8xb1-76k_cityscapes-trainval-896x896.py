# For the benchmark's server, the baseline of "Ours+" in Table 1: nothing is left to validate on.
_base_ = './supervised_deeplabv3plus_wrn38_8xb1-65k_cityscapes-full-896x896.py'
train_dataloader = dict(
    dataset=dict(
        labeled=dict(
            data_prefix=dict(img_path='leftImg8bit', seg_map_path='gtFine'), ann_file='splits/trainval/labeled.txt'
        )
    )
)
trains_on_test = True  # the test set is val, which check_dataset.py then does not call a leak
val_dataloader = val_evaluator = val_cfg = None
default_hooks = dict(checkpoint=dict(save_best=None))
train_cfg = dict(max_iters=76016)  # 3475 labelled images
