import os.path as osp

from mmseg.registry import DATASETS

from .unlabeled import UnlabeledDataset


@DATASETS.register_module()
class PseudoLabeledDataset(UnlabeledDataset):
    """Images with pseudo labels as annotations, such as ``tools/write_pseudo_labels.py`` writes.

    A pseudo label is a PNG of class ids as the network numbers them, 255 where it does not count. It lies in the folder
    ``seg_map_path`` under the name that its image has in ``img_path``: ``a/7.jpg``, ``a/7.png``.

    Args:
        data_prefix (dict): ``dict(img_path=FOLDER, seg_map_path=FOLDER)``.
        **kwargs: See :class:`UnlabeledDataset`.

    Raises:
        FileNotFoundError: If the list or the folder of images is missing.
        ValueError: If ``seg_map_path`` is missing, or two images differ only in their suffix and would have one pseudo
            label.
    """

    def load_data_list(self) -> list[dict]:
        """List the images, each with the file of its pseudo label, be it there or not."""
        images, labels = (self.data_prefix.get(key) for key in ('img_path', 'seg_map_path'))
        if not labels:
            raise ValueError('PseudoLabeledDataset: data_prefix has no seg_map_path, the folder of the pseudo labels')
        infos, first = super().load_data_list(), {}
        for info in infos:
            path = info['img_path']
            name = osp.splitext(osp.relpath(path, images or self.data_root or '.'))[0]
            if first.setdefault(name, path) != path:
                raise ValueError(f'{first[name]} and {path} would have one pseudo label: rename one of them')
            info.update(
                seg_map_path=osp.join(labels, f'{name}.png'),
                label_map=self.label_map,
                reduce_zero_label=self.reduce_zero_label,
            )
        return infos
