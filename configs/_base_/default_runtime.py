custom_imports = dict(imports=['mmseg_semi'], allow_failed_imports=False)
default_scope = 'mmseg'

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # The others wait, at most these seconds, while the first process checks the data.
    dist_cfg=dict(backend='nccl', timeout=3600),
)
randomness = dict(seed=0)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='SafeCheckpointHook', by_epoch=False, interval=2000, max_keep_ckpts=1, save_best='mIoU'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
    dataset_check=dict(type='DatasetCheckHook'),
    iter_seed=dict(type='IterSeedHook'),
    mean_teacher=dict(type='MeanTeacherHook', momentum=0.001),
    invalid_loss=dict(type='InvalidLossHook'),
    pseudo_label=dict(type='PseudoLabelVisualizationHook'),
)

vis_backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

val_cfg = dict(type='TeacherStudentValLoop')
test_cfg = dict(type='TestLoop')
