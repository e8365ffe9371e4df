"""The model zoo says what the results files say."""

import json
import re
import runpy
import statistics
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RESULTS = ('projects/camvid_benchmark/results/small.jsonl', 'projects/scenes_benchmark/results.jsonl')
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
METAFILES = {path: yaml.safe_load((ROOT / path).read_text()) for path in INDEX}
MODELS = {model['Config']: model for content in METAFILES.values() for model in content['Models']}


def mious(config, fraction):
    """Teacher mIoU of the runs of a config, by seed; the benchmark makes other fractions of the config of 1/8."""
    runs = [json.loads(line) for path in RESULTS for line in (ROOT / path).read_text().splitlines()]
    return {
        run['seed']: run['miou_teacher']
        for run in runs
        if config in (run['config'], run['config'].replace('-1_8-', f'-{fraction}-'))
        and run.get('fraction', fraction) == fraction
        and not run.get('options')
    }


@pytest.fixture(scope='module')
def tool():
    return runpy.run_path(str(ROOT / '.dev_scripts/make_model_zoo.py'))


def test_the_files_are_those_that_the_results_make(tool):
    for path, text in tool['make']().items():
        assert (ROOT / path).read_text() == text, f'{path}: run .dev_scripts/make_model_zoo.py'


def test_the_index_imports_every_metafile():
    assert sorted(INDEX) == sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/metafile.yml'))
    assert INDEX


@pytest.mark.parametrize('path', METAFILES)
def test_a_metafile_has_what_mim_reads(path):
    content = METAFILES[path]
    (collection,) = content['Collections']
    assert (ROOT / collection['README']).is_file()
    if 'Paper' in collection:
        assert collection['Paper']['URL'] in (ROOT / 'README.md').read_text()
    for model in content['Models']:
        assert model['In Collection'] == collection['Name']
        assert Path(model['Config']).parent == Path(path).parent
        assert (ROOT / model['Config']).is_file()
        assert model['Name'] == Path(model['Config']).stem
        assert model['Results']['Dataset'] in collection['Metadata']['Training Data']


@pytest.mark.parametrize('config', MODELS, ids=lambda config: Path(config).stem)
def test_the_numbers_of_a_model_are_mean_and_deviation_of_its_seeds(config):
    model, found = MODELS[config], mious(config, Path(config).stem.split('-')[-2])
    metrics = model['Results']['Metrics']
    assert model['Metadata']['Seeds'] == ', '.join(map(str, sorted(found)))
    assert metrics['mIoU'] == pytest.approx(statistics.mean(found.values()), abs=0.006)
    deviation = statistics.stdev(found.values()) if len(found) > 1 else None
    assert metrics.get('mIoU (standard deviation)') == (deviation and pytest.approx(deviation, abs=0.006))


def test_the_numbers_of_the_page_are_mean_and_deviation_of_the_seeds_of_its_rows():
    text = (ROOT / 'docs/model_zoo.md').read_text()
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if 'config](' in line]
    assert len(rows) >= len(MODELS)
    for _, _, labels, shown, seeds, link in rows:
        config = re.search(r'\(\.\./(.+)\)', link)[1]
        found = mious(config, 'full' if labels == 'all' else labels.replace('/', '_'))
        assert seeds == ', '.join(map(str, sorted(found)))
        mean, *deviation = map(float, shown.split(' +- '))
        assert mean == pytest.approx(statistics.mean(found.values()), abs=0.006)
        expected = [statistics.stdev(found.values())] if len(found) > 1 else []
        assert deviation == pytest.approx(expected, abs=0.006)


def test_other_labels_are_a_model_where_they_have_a_config_and_other_options_never_count(tool, tmp_path, monkeypatch):
    stem = 'supervised_deeplabv3plus_efficientnet-lite0_1xb4-1200_camvid-{}-160x160.py'
    run = dict(config=f'configs/supervised/{stem.format("1_8")}', seed=0, miou_teacher=50.0)
    runs = [dict(run, fraction=fraction) for fraction in ('full', '1_8', '1_4', '1_32')]
    runs.append(dict(runs[1], seed=1, options={'model.ema_teacher': False}))
    (tmp_path / 'results.jsonl').write_text('\n'.join(map(json.dumps, runs)))
    source = tool['Source'](str(tmp_path / 'results.jsonl'), 'CamVid', '')
    monkeypatch.setitem(tool['read_entries'].__globals__, 'SOURCES', (source,))
    entries = tool['read_entries']()
    assert [(entry.labels, entry.is_model, entry.seeds) for entry in entries] == [
        ('1_32', False, '0'), ('1_8', True, '0'), ('1_4', True, '0'), ('full', False, '0')
    ]  # fmt: skip
    assert entries[2].config.endswith(stem.format('1_4'))
