import json
import re
import shlex
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_semi.datasets import ClassUniform, PlacedSampleIndex
from mmseg_semi.datasets.splits import read_list
from mmseg_semi.datasets.textured_scenes import render_scene

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / 'docs').rglob('*.md'))
READMES = [ROOT / 'README.md', *sorted(ROOT.glob('projects/*/README.md'))]
TOOL = re.compile(r'(?<![\w/])(?:tools|projects|\.dev_scripts)/[\w/]+\.(?:py|sh)')
each_page = pytest.mark.parametrize('page', [*READMES, *PAGES], ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page, language):
    return re.findall(rf'```{language}\n(.*?)```', page.read_text(), re.DOTALL)


def commands(page, tool):
    """The arguments of all calls of a tool on a page."""
    lines = '\n'.join(blocks(page, 'bash')).replace('\\\n', ' ').splitlines()
    return [shlex.split(line, comments=True)[2:] for line in lines if line.strip().startswith(f'python tools/{tool}')]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_every_tool_and_config_on_a_page_is_there(page):
    text = page.read_text()
    assert re.findall(r'tools/[\w/]+\.(?:py|sh)', text)
    for path in re.findall(r'(?:tools|configs)/[\w/.-]+\.(?:py|sh)', text):
        assert 'mine' in path or (ROOT / path).is_file(), path
    for name in re.findall(r'^NAME=(.+)$', text, re.MULTILINE):
        assert list(ROOT.glob(f'configs/*/{name}.py')), name


def anchors(page):
    """The anchors of a page's titles, as GitHub makes them."""
    titles = re.findall(r'^#+ (.+)$', re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r'[^\w -]', '', re.sub(r'\[(.*?)\]\(.*?\)', r'\1', title)) for title in titles]
    return {title.strip().lower().replace(' ', '-') for title in plain}


@each_page
def test_every_link_leads_to_a_file_and_a_title_that_are_there(page):
    for link in re.findall(r'\]\(([^)\s]+)\)', re.sub(r'```.*?```', '', page.read_text(), flags=re.DOTALL)):
        if not link.startswith('http'):
            path, _, anchor = link.partition('#')
            target = page.parent / path if path else page
            assert target.exists(), link
            if anchor:
                assert anchor in anchors(target / 'README.md' if target.is_dir() else target), link


def source(tool):
    """The code that reads the options of a tool: its own, what it imports from this package, what it calls."""
    text = (ROOT / tool).read_text()
    if tool.endswith('.sh'):
        return text + ''.join(source(name) for name in re.findall(r'tools/[\w/]+\.(?:py|sh)', text) if name != tool)
    modules = [ROOT / f'{name.replace(".", "/")}.py' for name in re.findall(r'^from (mmseg_semi[\w.]*) ', text, re.M)]
    return text + ''.join(path.read_text() for path in modules if path.is_file())


@each_page
def test_every_option_on_a_page_is_one_of_its_tool(page):
    for line in page.read_text().replace('\\\n', ' ').splitlines():
        tools = list(TOOL.finditer(line))
        sources = [source(tool[0]) for tool in tools]
        for option in re.findall(r'(?<![\w-])--[a-z][a-z-]+', line[tools[0].start() :]) if tools else []:
            assert any(re.search(rf"{option}['\"\s)]", text) for text in sources), line


def teacher_mious(*names, **wanted):
    """The mIoU of each method's seeds, in the records of what is wanted."""
    mious = defaultdict(dict)
    for run in (json.loads(line) for name in names for line in (ROOT / f'projects/{name}.jsonl').open()):
        if {key: run.get(key, value) for key, value in wanted.items()} == wanted:
            corrupted = [value['mIoU'] for key, value in run.get('metrics', {}).items() if key != 'clean']
            mious[run['method']][run['seed']] = mean(corrupted) if corrupted else run['miou_teacher']
    return mious


def gains(mious, method):
    return [miou - mious['supervised'][seed] for seed, miou in mious[method].items() if seed in mious['supervised']]


def spread(values):
    return f'{mean(values):.1f} +- {stdev(values):.1f}'


def table(page, title):
    """The cells of a page's first table whose title begins so."""
    lines = re.search(rf'^{re.escape(title)}.*?\n\n', page.read_text(), re.MULTILINE | re.DOTALL)[0].splitlines()
    return [[cell.strip() for cell in line.split('|')[1:-1]] for line in lines[2:] if line]


SCENES = ['scenes_benchmark/results', 'scenes_benchmark/self_training']
CAMVID = dict(fraction='1_8', options={})


@pytest.mark.parametrize(
    ('page', 'mious', 'number'),
    [
        ('scenes_benchmark', teacher_mious(*SCENES), 10),
        ('camvid_benchmark', teacher_mious('camvid_benchmark/results/small', **CAMVID), 6),
    ],
)
def test_a_table_of_seeds_and_gains_says_what_the_records_say(page, mious, number):
    expected = {tuple(f'{mious[name][seed]:.1f}' for seed in range(3)): spread(gains(mious, name)) for name in mious}
    rows = table(ROOT / f'projects/{page}/README.md', '| | seed 0 | seed 1 | seed 2 | gain ')
    assert len(rows) == number
    for name, *seeds, gain in (row[:5] for row in rows):
        assert gain == ('' if name == 'supervised only' else expected[tuple(seeds)]), name


def test_the_gains_in_the_front_table_are_those_of_the_records():
    longer = {'train_cfg.max_iters': 4800, 'train_cfg.val_interval': 600, 'param_scheduler.0.end': 4800}
    columns = [
        teacher_mious(*SCENES),
        teacher_mious('camvid_benchmark/results/small', **CAMVID),
        teacher_mious('camvid_benchmark/results/small', fraction='1_8', options=longer),
        teacher_mious('camvid_benchmark/results/robustness', **CAMVID),
    ]
    floor, *rows = table(ROOT / 'README.md', '| method, `class` | paper |')
    for cell, mious in zip(floor[2:], columns, strict=True):
        shared = set.intersection(*(set(seeds) for seeds in mious.values() if len(seeds) > 1))
        assert cell == f'{mean(mious["supervised"][seed] for seed in shared):.1f}'
    assert len(rows) == 7
    for method, _, *cells in rows:
        folder = re.search(r'\]\((?:configs|docs)/(\w+)', method)[1]
        name = 'ipixmatch-kl' if folder == 'ipixmatch' else folder.replace('_', '-')
        for cell, mious in zip(cells, columns, strict=True):
            found = gains(mious, name)
            if len(found) < 2:
                assert cell == '', name
            else:
                clear = mean(found) > max(1, stdev(found))
                assert cell == (f'**{spread(found)}**' if clear else spread(found)), name


@pytest.mark.parametrize(('page', 'dataset'), [('voc', 'voc12aug'), ('cityscapes', 'cityscapes')])
def test_the_page_of_a_dataset_makes_every_list_that_configs_name(page, dataset):
    drawing = next(block for block in blocks(ROOT / f'docs/datasets/{page}.md', 'bash') if 'make_splits.py' in block)
    shell = ['bash', '-c', f'python() {{ echo "$@"; }}\n{drawing}']
    calls = [line.split() for line in subprocess.run(shell, capture_output=True, text=True).stdout.splitlines()]
    made = {Path(call[2]).name for call in calls}
    names = [re.search(rf'_{dataset}-(\w+)-', path.stem) for path in ROOT.glob('configs/*/*.py')]
    assert {name[1] for name in names if name} - {'full', 'trainval'} <= made
    # The base config shows the page's command.
    comment = (ROOT / f'configs/_base_/datasets/semi_{page}.py').read_text().split('_base_')[0]
    shown = comment.replace('#', '').replace('\\\n', ' ').split()
    assert shown[shown.index('python') + 1 :] in calls


def test_following_the_page_on_own_data_gives_lists_a_picture_and_a_model(run_tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / 'docs/datasets/own_data.md'
    for part, number in (('train', 6), ('val', 2)):
        for i in range(number):
            image, label = render_scene(part, i, (64, 80))
            for kind, suffix, pixels in (('images', 'jpg', image[..., ::-1]), ('annotations', 'png', label > 2)):
                if kind == 'images' or part == 'val' or i % 2:
                    path = Path(f'data/mine/{kind}/{part}/a/{i}.{suffix}')
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(np.ascontiguousarray(pixels).astype(np.uint8)).save(path)

    for arguments in commands(page, 'dataset_converters/folder.py'):
        done = run_tool('dataset_converters/folder.py', *arguments, '--workers', 1)
        assert done.returncode == 0, done.stderr
    assert read_list('data/mine/splits/all/labeled.txt') == ['a/1', 'a/3', 'a/5']
    assert read_list('data/mine/splits/all/unlabeled.txt') == ['a/0', 'a/2', 'a/4']

    shutil.copytree(ROOT / 'configs/_base_', 'configs/_base_')
    shutil.copy('configs/_base_/datasets/semi_folder.py', 'configs/_base_/datasets/semi_mine.py')
    Path('configs/mine').mkdir()
    for name, config in zip(('supervised', 'unimatch'), blocks(page, 'python'), strict=True):
        Path(f'configs/mine/{name}.py').write_text(config)
    (arguments,) = commands(page, 'dataset_converters/check_dataset.py')
    done = run_tool('dataset_converters/check_dataset.py', *arguments, '--workers', 1)
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path('work_dirs/unimatch/check_dataset.png').is_file()

    init_default_scope('mmseg')
    cfg, twin = (Config.fromfile(f'configs/mine/{name}.py') for name in ('unimatch', 'supervised'))
    assert MODELS.build(cfg.model).student.num_classes == 2
    assert (cfg.train_dataloader.batch_size, twin.train_dataloader.batch_size) == (8, 4)
    assert (cfg.train_dataloader.sampler.source_ratio, twin.train_dataloader.sampler.source_ratio) == ([1, 1], [1])


def test_the_config_of_the_page_on_evaluation_has_all_metrics_also_for_a_plain_model_of_mmseg(tmp_path):
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    path = tmp_path / 'configs/mine/evaluated.py'
    path.parent.mkdir()
    text, plain = (
        blocks(ROOT / 'docs/evaluation.md', 'python')[0],
        'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py',
    )
    for config in (text, re.sub(r"'\.\./supervised/.*\.py'", f"'{plain}'", text)):
        path.write_text(config)
        names = [metric.type for metric in Config.fromfile(path).test_evaluator]
        assert names == ['IoUMetric', 'BoundaryIoUMetric', 'CalibrationMetric']
    assert plain in (ROOT / 'docs/evaluation.md').read_text()


def test_the_page_on_cityscapes_shows_coarse_annotations_for_rare_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    classes = {'gtFine/train': (0, 4), 'gtCoarse/train_extra': (0, 4, 16)}  # road, fence, train
    for number, (part, ids) in enumerate(classes.items()):
        kind, split = part.split('/')
        name = f'ulm/ulm_00000{number}_000019'
        label = np.repeat(np.array(ids, np.uint8), 40)[None].repeat(60, axis=0)
        for path, pixels in (
            (f'leftImg8bit/{split}/{name}_leftImg8bit.png', np.zeros((*label.shape, 3), np.uint8)),
            (f'{part}/{name}_{kind}_labelTrainIds.png', label),
        ):
            (Path('data/cityscapes') / path).parent.mkdir(parents=True)
            Image.fromarray(pixels).save(Path('data/cityscapes') / path)

    shutil.copytree(ROOT / 'configs', 'configs')
    (block,) = blocks(ROOT / 'docs/datasets/cityscapes.md', 'python')
    Path('configs/structured_consistency/mine.py').write_text(block)
    cfg = Config.fromfile('configs/structured_consistency/mine.py').train_dataloader
    init_default_scope('mmseg')
    dataset = DATASETS.build(cfg.dataset)
    assert dataset.source_sizes == [1, 1]
    places = ClassUniform(dataset, **cfg.sampler.class_uniform).places
    # The road is for the fine image alone, the fence is in both, the train in the coarse one alone.
    assert [set(rows[:, 0].tolist()) for rows in places] == [{0}, {0, 2}, {2}]
    index, y, x = places[2][0].tolist()
    label = dataset[PlacedSampleIndex(index, 0, (y, x))]['data_samples']['labeled'].gt_sem_seg.data
    assert label.shape[1:] == (769, 769)
    assert 16 in label
