# CamVid at its full size, for a GPU.
_base_ = ['./semi_camvid.py']
img_scale = (480, 360)
crop_size = (352, 352)

labeled_pipeline = _base_.labeled_pipeline
unlabeled_pipeline = _base_.unlabeled_pipeline
test_pipeline = _base_.test_pipeline
tta_pipeline = _base_.tta_pipeline
for pipeline in (labeled_pipeline, unlabeled_pipeline, test_pipeline, tta_pipeline):
    for step in pipeline:
        if step.type in ('Resize', 'RandomResize'):
            step.scale = img_scale
        if step.type in ('RandomCrop', 'ClassUniformCrop'):
            step.crop_size = crop_size
del pipeline, step

train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    sampler=dict(batch_size=8),
    dataset=dict(labeled=dict(pipeline=labeled_pipeline)),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
