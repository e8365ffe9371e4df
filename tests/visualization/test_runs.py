import shutil

import pytest

from mmseg_semi.visualization.runs import Run, Spread, group_runs


def test_mean_deviation_and_gain_are_over_seeds(work_dir):
    runs = [work_dir(f'mix_{seed}', seed, {4: value}, 'CutMixMeanTeacher') for seed, value in ((1, 53.0), (0, 50.0))]
    runs += [work_dir(f'sup_{seed}', seed, {4: value}) for seed, value in ((0, 40.0), (1, 41.0), (2, 45.0))]
    sup, mix = group_runs([Run(folder) for folder in runs])
    assert (sup.name, mix.name) == ('sup', 'mix')
    assert mix.spread('teacher') == Spread(51.5, pytest.approx(4.5**0.5), (50.0, 53.0))
    assert mix.spread('student').mean == 50.5
    assert mix.gain(sup) == Spread(11.0, pytest.approx(2**0.5), (10.0, 12.0))


def test_one_seed_has_no_deviation(work_dir):
    (method,) = group_runs([Run(work_dir('sup_0', 0, {4: 40.0}))])
    assert method.score == Spread(40.0, None, (40.0,))


def test_a_resumed_session_replaces_what_came_after_its_checkpoint(work_dir):
    folder = work_dir('sup_0', 0, {2: 10.0, 3: 20.0})
    later = work_dir('later_0', 0, {3: 30.0, 4: 40.0}, session='2')
    shutil.move(later / '2', folder / '2')
    run = Run(folder)
    assert [(line['step'], line['mIoU']) for line in run.validations] == [(2, 10.0), (3, 30.0), (4, 40.0)]
    assert [line['step'] for line in run.training] == [2, 3, 4]


def test_a_line_that_was_being_written_when_the_process_died_is_dropped(work_dir):
    folder = work_dir('sup_0', 0, {2: 10.0})
    with open(folder / '1/vis_data/scalars.json', 'a') as file:
        file.write('{"step": 3, "lo')
    assert Run(folder).iterations == 2


def test_an_unfinished_run_is_marked_and_not_counted(work_dir):
    folders = [work_dir('sup_0', 0, {4: 40.0}), work_dir('sup_1', 1, {2: 10.0})]
    (method,) = group_runs([Run(folder) for folder in folders])
    assert method.score.values == (40.0,)
    assert [run.remark for run in method.runs] == ['', 'unfinished, 2 of 4']


def test_runs_that_differ_in_more_than_the_seed_are_methods_of_their_own(work_dir):
    folders = [work_dir('mix_0', 0, {4: 1.0}, 'CutMixMeanTeacher')]
    folders += [work_dir('mix_1', 1, {4: 1.0}, 'CutMixMeanTeacher', unsup_rampup=2)]
    methods = group_runs([Run(folder) for folder in folders])
    assert [method.name for method in methods] == [str(folder) for folder in folders]
    names = ['plain', 'ramp']
    assert [method.name for method in group_runs([Run(folder) for folder in folders], names)] == names


def test_a_batch_that_processes_share_is_that_of_one_and_a_larger_one_is_not(work_dir):
    alone, shared, larger = (Run(work_dir(f'sup_{seed}', seed, {4: 40.0})) for seed in range(3))
    for run in (shared, larger):
        run.environment['processes'] = 2
    loader = shared.cfg.train_dataloader
    ratio = loader.sampler.source_ratio
    loader.batch_size //= 2
    loader.sampler.batch_size //= 2
    loader.sampler.source_ratio = [2 * share for share in ratio]
    assert [[run.seed for run in method.runs] for method in group_runs([alone, shared, larger])] == [[0, 1], [2]]


def test_miou_is_read_as_mmseg_rounded_it_and_not_as_single_precision_keeps_it(work_dir):
    run = Run(work_dir('sup_0', 0, {4: 53.4799995}))
    assert run.result()['miou_teacher'] == run.validations[-1]['mIoU'] == 53.48


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(ValueError, match=r'nothing holds no training log .* tools/train.py'):
        Run(tmp_path / 'nothing')


def test_a_name_may_be_given_for_each_run_of_a_method(work_dir):
    runs = [Run(work_dir(f'sup_{seed}', seed, {4: 40.0})) for seed in (0, 1)]
    (method,) = group_runs(runs, ['labels', 'labels'])
    assert method.name == 'labels'


def test_a_seed_twice_and_a_wrong_number_of_names_are_refused(work_dir):
    runs = [Run(work_dir(name, 0, {4: 40.0})) for name in ('sup_a', 'sup_b')]
    with pytest.raises(ValueError, match=r'sup_a and .*sup_b are sup with seed 0'):
        group_runs(runs)
    with pytest.raises(ValueError, match='2 different names for 1 methods'):
        group_runs(runs[:1], ['a', 'b'])


def test_runs_validated_on_different_images_are_not_compared(work_dir):
    runs = [Run(work_dir(name, 0, {4: 40.0})) for name in ('sup_a', 'mix_a')]
    runs[1].cfg.val_dataloader.dataset.ann_file = 'splits/other.txt'
    with pytest.raises(ValueError, match=r'sup_a and .*mix_a were validated on different images'):
        group_runs(runs)
