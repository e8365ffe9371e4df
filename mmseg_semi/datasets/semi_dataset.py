import copy
import os.path as osp
from collections.abc import Callable
from typing import Any

from mmengine.dataset import BaseDataset
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_semi.utils.seed import seeded

from .samplers import PlacedSampleIndex, SampleIndex
from .transforms import MultiView, StrongPhotometric


@DATASETS.register_module()
class SemiDataset:
    """Labelled images, pseudo-labelled ones where there are, and unlabelled ones.

    A sample is a dict of ``inputs`` and ``data_samples``, each of them a dict with one entry a view. A pipeline that
    ends in ``PackSegInputs`` makes one view, named ``'unlabeled'`` in that part and ``'labeled'`` in the others, which
    are trained on alike; one that ends in :class:`MultiView` names its own.

    Lines of comment in the lists (``ann_file``), which start with ``#``, are skipped, whatever the class of dataset.

    Args:
        labeled (dict): Config of a dataset with annotations.
        unlabeled (dict, optional): Config of a dataset without; none is needed to train on the labels alone.
        labeled_as_unlabeled (bool): Whether an image of both parts counts as unlabelled too, as in the "full" settings
            of papers. It is left out of the unlabelled part otherwise.
        pseudo_labeled (dict, optional): Config of a second dataset with annotations, such as
            :class:`PseudoLabeledDataset`; the sampler gives it a share of its own, between the other two.
        coarse (dict, optional): Config of a dataset with coarse annotations. Its images are shown as labelled ones, but
            in the turns of :class:`ClassUniform` alone. They may be unlabelled ones as well.

    Raises:
        ValueError: If a part has no image, is a wrapper of several datasets, or leaves colours to the device without
            :class:`MultiView` at its end; if the labelled one names no classes; or if ``labeled_as_unlabeled`` has no
            effect.
    """

    def __init__(
        self,
        labeled: dict | BaseDataset,
        unlabeled: dict | BaseDataset | None = None,
        labeled_as_unlabeled: bool = False,
        pseudo_labeled: dict | BaseDataset | None = None,
        coarse: dict | BaseDataset | None = None,
    ) -> None:
        self.labeled_as_unlabeled = labeled_as_unlabeled
        parts = dict(labeled=labeled, pseudo_labeled=pseudo_labeled, unlabeled=unlabeled, coarse=coarse)
        self.parts: dict[str, BaseDataset] = {}
        for name, part in parts.items():
            if part is None:
                continue
            what = f'the {name} part of SemiDataset'
            dataset = load_dataset(part, what)
            if not isinstance(dataset, BaseDataset):
                raise ValueError(
                    f'{what} is a {type(dataset).__name__}: give one dataset; its list may name images of several '
                    'folders below its data_prefix'
                )
            _check_photometric(name, dataset)
            _keep(what, dataset, lambda path, dataset=dataset: not is_comment(path, dataset))
            self.parts[name] = dataset
        if not self.parts['labeled'].metainfo.get('classes'):
            raise ValueError(
                f'the labeled part of SemiDataset, a {type(self.parts["labeled"]).__name__}, names no classes: set its '
                'metainfo=dict(classes=(...))'
            )
        if 'unlabeled' in self.parts:
            self._settle_images_of_both_parts()

    def _settle_images_of_both_parts(self) -> None:
        """Leave labelled images out of the unlabelled part, or see that it has some where they count there too."""
        unlabeled = self.parts['unlabeled']
        seen = {osp.realpath(path) for path in _paths(self.parts['labeled'])}
        if not self.labeled_as_unlabeled:
            _keep(
                'the unlabeled part of SemiDataset', unlabeled, lambda path: osp.realpath(path) not in seen,
                way_out=', or set labeled_as_unlabeled=True to take the labelled ones',
            )  # fmt: skip
        elif seen.isdisjoint(map(osp.realpath, _paths(unlabeled))):
            raise ValueError(
                'SemiDataset: labeled_as_unlabeled=True, but the unlabeled part has no labelled image: name them in '
                f'its ann_file={unlabeled.ann_file!r} too, or leave it empty to take the whole folder'
            )

    @property
    def metainfo(self) -> dict:
        """dict: The labelled part's classes and palette."""
        return copy.deepcopy(self.parts['labeled'].metainfo)

    @property
    def source_sizes(self) -> list[int]:
        """list[int]: Number of images of each part that is gone through pass by pass, which the coarse one is not."""
        return [len(part) for name, part in self.parts.items() if name != 'coarse']

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def offset(self, name: str) -> int:
        """Give the index of a part's first sample."""
        names = list(self.parts)
        return sum(len(self.parts[before]) for before in names[: names.index(name)])

    def locate(self, index: int) -> tuple[str, int]:
        """Say which part holds sample ``index``, and where in that part it is."""
        for name, part in self.parts.items():
            if index < len(part):
                return name, index
            index -= len(part)
        raise IndexError('sample index out of range')

    def get_data_info(self, index: int) -> dict:
        """Give what is known of sample ``index`` before its pipeline runs."""
        name, local = self.locate(index)
        return self.parts[name].get_data_info(local)

    def __getitem__(self, index: int | SampleIndex | PlacedSampleIndex) -> dict[str, dict[str, Any]]:
        if isinstance(index, SampleIndex):
            with seeded(index.seed):
                return self._prepare(index.index)
        if isinstance(index, PlacedSampleIndex):
            with seeded(index.seed):
                return self._prepare(index.index, class_place=index.place)
        return self._prepare(index)

    def _prepare(self, index: int, **extra) -> dict[str, dict[str, Any]]:
        """Run the pipeline on what is known of a sample and, where there is, something extra."""
        name, local = self.locate(index)
        part = self.parts[name]
        try:
            sample = part.pipeline({**part.get_data_info(local), **extra}) if extra else part[local]
        except Exception as error:
            path = part.get_data_info(local).get('img_path')
            reason = str(error) or type(error).__name__
            raise RuntimeError(f'cannot prepare {name} image {path}: {reason}') from error
        if not isinstance(sample['inputs'], dict):
            view = 'unlabeled' if name == 'unlabeled' else 'labeled'
            sample = {key: {view: value} for key, value in sample.items()}
        return sample


def load_dataset(dataset: dict | BaseDataset, what: str) -> BaseDataset:
    """Build a dataset and list its images.

    Args:
        dataset (dict | BaseDataset): Its config, or one that is built.
        what (str): What it is, in words.

    Raises:
        FileNotFoundError: If mmseg does not find its list or its folder.
        ValueError: If there is no image.
    """
    try:
        loaded = build_lazily(dataset) if isinstance(dataset, dict) else dataset
        # mmengine cannot serialise an empty list, and would say so in terms of arrays. Wrappers have none of their own.
        if hasattr(loaded, 'load_data_list') and not loaded.load_data_list():
            raise _no_image(what, loaded)
    except AssertionError as error:  # what mmseg raises, now and then without a word
        settings = dataset if isinstance(dataset, dict) else vars(dataset)
        where = [f'{key}={settings[key]!r}' for key in ('data_root', 'data_prefix', 'ann_file') if settings.get(key)]
        raise FileNotFoundError(
            f'{what} does not find its images: {str(error) or "a list or a folder is missing"}; '
            f'check {", ".join(where)}'
        ) from error
    loaded.full_init()
    return loaded


def load_plain_dataset(dataset: dict | BaseDataset, what: str) -> BaseDataset:
    """Load a dataset that is no part of a :class:`SemiDataset`, and so takes comments for images.

    Args:
        dataset (dict | BaseDataset): As for :func:`load_dataset`.
        what (str): Likewise.

    Raises:
        ValueError: If there is no image, or its list has lines of comment.
    """
    dataset = load_dataset(dataset, what)
    if isinstance(dataset, BaseSegDataset) and any(is_comment(path, dataset) for path in _paths(dataset)):
        raise ValueError(
            f'{dataset.ann_file} has lines of comment, for which {type(dataset).__name__} would look for '
            'images: remove them or, for training, make it the labelled part of a SemiDataset, which skips them'
        )
    return dataset


def build_lazily(dataset: dict) -> BaseDataset:
    """Build a dataset that lists its images when it is asked to; at once if its class does not take ``lazy_init``."""
    try:
        return DATASETS.build({**dataset, 'lazy_init': True})
    except TypeError as error:
        if 'lazy_init' not in str(error):
            raise
        return DATASETS.build(dataset)


def is_comment(path: str, dataset: BaseDataset) -> bool:
    """Whether a path was made of a line of comment: mmseg takes every line of a list for the name of an image."""
    folder = dataset.data_prefix.get('img_path') or ''
    return path.removeprefix(folder).lstrip('/\\\ufeff').startswith('#')


def _paths(dataset: BaseDataset) -> list[str]:
    return [dataset.get_data_info(index)['img_path'] for index in range(len(dataset))]


def _keep(what: str, dataset: BaseDataset, wanted: Callable[[str], bool], way_out: str = '') -> None:
    """Reduce a part to the images whose path is wanted."""
    paths = _paths(dataset)
    keep = [index for index, path in enumerate(paths) if wanted(path)]
    if not keep:
        raise _no_image(what, dataset, way_out)
    if len(keep) < len(paths):
        dataset.get_subset_(keep)


def _check_photometric(name: str, dataset: BaseDataset) -> None:
    """Make sure that what the pipeline leaves to the device arrives there."""
    *steps, last = dataset.pipeline.transforms or [None]
    if any(isinstance(step, StrongPhotometric) and step.on_device for step in steps) and not isinstance(
        last, MultiView
    ):
        raise ValueError(
            f'the {name} part of SemiDataset has StrongPhotometric(on_device=True), which only MultiView passes on: '
            'leave on_device out'
        )


def _no_image(what: str, dataset: BaseDataset, way_out: str = '') -> ValueError:
    return ValueError(
        f'{what} has no image: check its data_root, data_prefix={dataset.data_prefix}, '
        f'ann_file={dataset.ann_file!r} and suffixes{way_out}'
    )
