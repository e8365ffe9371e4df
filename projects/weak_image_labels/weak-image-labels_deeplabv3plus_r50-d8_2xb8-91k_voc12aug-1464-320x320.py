# Table 5 of Lai et al. 2021: the 1464 annotations of VOC itself, image-level labels of the 9118 other images.
_base_ = (
    '../../configs/context_aware_consistency/'
    'context-aware-consistency_deeplabv3plus_r50-d8_2xb8-91k_voc12aug-1464-320x320.py'
)
custom_imports = dict(
    imports=['mmseg_semi', 'projects.weak_image_labels.weakly_labeled_consistency'], allow_failed_imports=False
)
weak_labels = dict(
    image_labels=_base_.data_root + 'image_labels.txt',
    background_class='background',
    classifier='{{ fileDirname }}/classifier_r50_1xb16-3k_voc12aug-448x448.py',
    maps=dict(scales=(0.5, 1.0, 1.5, 2.0), foreground=0.3, background=0.05),
)
model = dict(type='WeaklyLabeledConsistency')
unlabeled_pipeline = _base_.train_dataloader.dataset.unlabeled.pipeline
unlabeled_pipeline[0].pseudo_label = True
train_dataloader = dict(
    dataset=dict(unlabeled=dict(type='PseudoLabeledDataset', pipeline=unlabeled_pipeline)),
)
