_base_ = (
    '../../configs/context_aware_consistency/'
    'context-aware-consistency_deeplabv3plus_r18-slim_1xb8-800_scenes-16-96x96.py'
)
custom_imports = dict(
    imports=['mmseg_semi', 'projects.weak_image_labels.weakly_labeled_consistency'], allow_failed_imports=False
)
weak_labels = dict(
    image_labels=_base_.data_root + 'image_labels.txt',
    background_class=None,
    classifier='{{ fileDirname }}/classifier_r18-slim_1xb16-400_scenes-96x96.py',
    maps=dict(scales=(1.0, 2.0), foreground=0.5),
)
model = dict(type='WeaklyLabeledConsistency')
unlabeled_pipeline = _base_.train_dataloader.dataset.unlabeled.pipeline
unlabeled_pipeline[0].pseudo_label = True
train_dataloader = dict(
    dataset=dict(unlabeled=dict(type='PseudoLabeledDataset', pipeline=unlabeled_pipeline)),
)
