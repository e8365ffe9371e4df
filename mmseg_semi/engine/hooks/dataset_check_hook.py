import time

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmseg.datasets import BaseSegDataset
from mmseg.registry import HOOKS

from mmseg_semi.datasets import PseudoLabeledDataset, SemiDataset
from mmseg_semi.datasets.checks import check_disjoint, check_labeled, check_unlabeled, reads_annotations


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
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not isinstance(dataset, SemiDataset):
            return
        annotated = [
            part
            for name, part in dataset.parts.items()
            if name != 'unlabeled' and not isinstance(part, PseudoLabeledDataset)
        ]
        for part in annotated:
            self._check_classes(part, model)
        self._check_batch(runner.train_dataloader, model)
        for name, part in dataset.parts.items():
            where = f'the {name} part of train_dataloader'
            if name == 'unlabeled' and not reads_annotations(part):
                check_unlabeled(part)
            else:
                check_labeled(part, where, len(dataset.metainfo['classes']))
        val = runner.val_dataloader.dataset if runner.val_loop is not None else None
        if isinstance(val, BaseSegDataset):
            check_labeled(val, 'val_dataloader')
            for part in annotated:
                check_disjoint(part, val)
        runner.logger.info(f'Checked {len(dataset)} training images in {time.time() - start:.1f} s')

    def _check_classes(self, labeled: BaseSegDataset, model) -> None:
        num_classes = getattr(model.student, 'num_classes', None)
        classes = labeled.metainfo['classes']
        if num_classes is not None and num_classes != len(classes):
            raise ValueError(
                f'the decode head has num_classes={num_classes}, but {type(labeled).__name__} has {len(classes)} '
                f'classes: set num_classes={len(classes)} in every head of the segmentor'
            )

    def _check_batch(self, dataloader, model) -> None:
        """Draw one sample of each part and see whether the batch would do."""
        dataset, counts = dataloader.dataset, dataloader.sampler.counts
        if 'unlabeled' in dataset.parts and model.mixes_pairs and counts[-1] % 2:
            raise ValueError(
                f'{type(model).__name__} mixes pairs of unlabelled images, but a batch holds {counts[-1]}: '
                'make the last number of source_ratio even'
            )
        size = getattr(model.data_preprocessor.base, 'size', None)
        for name in dataset.parts:
            for view, image in dataset[dataset.offset(name)]['inputs'].items():
                shape = tuple(image.shape[-2:])
                if size is not None and (shape[0] > size[0] or shape[1] > size[1]):
                    raise ValueError(
                        f'the pipeline makes {view} images of {shape}, but the data preprocessor pads to '
                        f'size={tuple(size)}: let crop_size and size agree'
                    )
