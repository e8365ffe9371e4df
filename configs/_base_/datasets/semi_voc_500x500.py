# VOC as in Yang et al., UniMatch, 2023: images of their own size, whose longer side is 500, with crops of 321; labelled
# ones keep their colours.
_base_ = ['./semi_voc.py']
img_scale = (500, 500)
crop_size = (321, 321)

labeled_pipeline = [step for step in _base_.labeled_pipeline if step.type != 'PhotoMetricDistortion']
unlabeled_pipeline = _base_.unlabeled_pipeline
test_pipeline = _base_.test_pipeline
tta_pipeline = _base_.tta_pipeline
for pipeline in (labeled_pipeline, unlabeled_pipeline, test_pipeline, tta_pipeline):
    for step in pipeline:
        if step.type in ('Resize', 'RandomResize'):
            step.scale = img_scale
        if step.type == 'RandomCrop':
            step.crop_size = crop_size
del pipeline, step

train_dataloader = dict(dataset=dict(labeled=dict(pipeline=labeled_pipeline)))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
