import time
from collections.abc import Iterator

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmseg.datasets import BaseSegDataset
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import HOOKS

from mmseg_semi.datasets import PseudoLabeledDataset, SemiDataset, SemiSampler, semi_collate
from mmseg_semi.datasets.checks import (
    absent_classes,
    check_disjoint,
    check_labeled,
    check_unlabeled,
    common_images,
    reads_annotations,
)
from mmseg_semi.datasets.samplers import SampleIndex
from mmseg_semi.utils.wrapper import unwrapped


@HOOKS.register_module()
class DatasetCheckHook(Hook):
    """Look for bad input before the first iteration: every file of the training and validation lists is checked.

    Raises:
        ValueError: Naming the file or setting that is wrong and what to do.
    """

    priority = 'VERY_HIGH'

    @master_only
    def before_train(self, runner) -> None:
        """Check datasets, then that they fit the model."""
        start = time.time()
        dataset = runner.train_dataloader.dataset
        model = unwrapped(runner.model)
        if not isinstance(dataset, SemiDataset):
            if hasattr(model, 'student'):
                raise ValueError(
                    f'{type(model).__name__} trains on a SemiDataset, but train_dataloader.dataset is a '
                    f'{type(dataset).__name__}: set dataset=dict(type="SemiDataset", labeled=..., unlabeled=...)'
                )
            return
        if not hasattr(model, 'student'):
            raise ValueError(
                f'a SemiDataset is for methods of mmseg_semi, but the model is {type(model).__name__}: wrap it, '
                'model=dict(type="SemiSegmentor", segmentor=...)'
            )
        annotated = [
            part
            for name, part in dataset.parts.items()
            if name != 'unlabeled' and not isinstance(part, PseudoLabeledDataset)
        ]
        self._check_stream(runner, model)
        for part in annotated:
            self._check_classes(part, model)
        for name, part in dataset.parts.items():
            where = f'the {name} part of train_dataloader'
            if name == 'unlabeled' and not reads_annotations(part):
                check_unlabeled(part)
            else:
                pixels = check_labeled(part, where, len(dataset.metainfo['classes']))
                if name == 'labeled' and (absent := absent_classes(pixels, dataset.metainfo['classes'])):
                    runner.logger.warning(
                        f'No labelled image shows {", ".join(absent)}: nobody teaches the network what that is'
                    )
        val = runner.val_dataloader.dataset if runner.val_loop is not None else None
        for one in _datasets_in(val):
            check_labeled(one, 'val_dataloader')
            for name, part in dataset.parts.items():
                if part in annotated:
                    check_disjoint(part, one)
                elif both := common_images(part, one):
                    runner.logger.warning(
                        f'{len(both)} images of val_dataloader are in the {name} part, such as {both[0]}: results on '
                        'them are not those on new images, so leave them out if you report any'
                    )
        self.check_samples(dataset, model)
        runner.logger.info(f'Checked {len(dataset)} training images in {time.time() - start:.1f} s')

    def _check_stream(self, runner, model) -> None:
        """See whether batches hold the images that the method needs, and end."""
        collate = runner.train_dataloader.collate_fn
        if getattr(collate, 'func', collate) is not semi_collate:
            raise ValueError(
                'the samples of a SemiDataset are gathered view by view: set train_dataloader.collate_fn='
                'dict(type="semi_collate")'
            )
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, SemiSampler):
            raise ValueError(
                f'a SemiDataset needs the SemiSampler, which fills each batch from all its parts, but train_dataloader '
                f'has a {type(sampler).__name__}: set sampler=dict(type="SemiSampler", ...)'
            )
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                f'the SemiSampler never ends, nor would an epoch of {type(runner.train_loop).__name__}: count '
                'iterations, train_cfg=dict(type="IterBasedTrainLoop", max_iters=...)'
            )
        if runner.train_dataloader.batch_size != sampler.batch_size:
            raise ValueError(
                f'train_dataloader.batch_size={runner.train_dataloader.batch_size}, but the sampler fills batches of '
                f'train_dataloader.sampler.batch_size={sampler.batch_size}: set both to the same number, a multiple of '
                'the sum of source_ratio'
            )
        has_unlabeled = 'unlabeled' in runner.train_dataloader.dataset.parts
        if model.view_names and not has_unlabeled:
            raise ValueError(
                f'{type(model).__name__} learns from unlabelled images, but train_dataloader.dataset has none: add '
                'unlabeled=dict(type="UnlabeledDataset", ...) and a number for it to source_ratio'
            )
        if has_unlabeled and model.mixes_pairs and sampler.counts[-1] % 2:
            raise ValueError(
                f'{type(model).__name__} mixes pairs of unlabelled images, but a batch holds {sampler.counts[-1]}: '
                'make the last number of source_ratio even'
            )

    def _check_classes(self, labeled: BaseSegDataset, model) -> None:
        classes = labeled.metainfo['classes']
        for name, head in model.student.named_modules():
            # Heads with a loss of their own may tell other things apart, as STDC's boundary from what is none.
            own_loss = getattr(type(head), 'loss_by_feat', None) is not BaseDecodeHead.loss_by_feat
            if isinstance(head, BaseDecodeHead) and head.num_classes != len(classes) and not own_loss:
                raise ValueError(
                    f'{name} has num_classes={head.num_classes}, but {type(labeled).__name__} has {len(classes)} '
                    f'classes: set num_classes={len(classes)} in every head of the segmentor'
                )

    def check_samples(self, dataset: SemiDataset, model) -> None:
        """Draw samples of each part and see whether the model can use them.

        Raises:
            ValueError, RuntimeError: If it cannot, or a pipeline does not make any.
        """
        base = model.data_preprocessor.base
        size = getattr(base, 'size', ())
        if size is None and (model.view_names or getattr(base, 'size_divisor', None) is None):
            raise ValueError(
                'the data preprocessor has no size that all images of a batch are padded to, be they labelled or not: '
                "set the segmentor's data_preprocessor.size to the crop_size, and no size_divisor"
            )
        for name in dataset.parts:
            first = dataset.offset(name)
            sample = dataset[first]
            for view, image in sample['inputs'].items():
                shape = tuple(image.shape[-2:])
                if size and (shape[0] > size[0] or shape[1] > size[1]):
                    raise ValueError(
                        f'the pipeline makes {view} images of {shape}, but the data preprocessor pads to '
                        f'size={tuple(size)}: let crop_size and size agree'
                    )
            # Several, for what transforms do with a probability.
            drawn = [dataset[SampleIndex(first, seed)]['data_samples'] for seed in range(8)]
            if name == 'unlabeled':
                batch = model.data_preprocessor(semi_collate([sample]), training=True)
                model.check_views(model.unlabeled_views(**batch))
                maps = [view.valid_map.data for views in drawn for view in views.values() if 'valid_map' in view]
                if maps and not any((valid_map == 0).any() for valid_map in maps):
                    raise ValueError(
                        f'no pixel of {dataset.get_data_info(first)["img_path"]} counts: a transform of the unlabelled '
                        'pipeline changes the map of ones that LoadUnlabeledImage puts in the place of an annotation: '
                        'leave out what is made for class ids'
                    )


def _datasets_in(dataset) -> Iterator[BaseSegDataset]:
    """Take wrappers of datasets apart."""
    if isinstance(dataset, BaseSegDataset):
        yield dataset
    for inner in (*getattr(dataset, 'datasets', ()), getattr(dataset, 'dataset', None)):
        if inner is not None:
            yield from _datasets_in(inner)
