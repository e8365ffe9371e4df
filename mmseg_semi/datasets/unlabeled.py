import os.path as osp

from mmengine import fileio
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .splits import IMAGE_SUFFIXES, is_hidden, read_list


@DATASETS.register_module()
class UnlabeledDataset(BaseSegDataset):
    """Images without annotations, from a folder or from a list.

    Args:
        data_root (str, optional): Folder that ``img_path`` and ``ann_file`` start from.
        data_prefix (dict): ``dict(img_path=FOLDER)``. Without a list, all images of the folder and its subfolders that
            are not hidden.
        ann_file (str): List of images in that folder, one a line, with or without their suffix; lines of comment start
            with ``#``.
        img_suffix (str | tuple[str, ...]): Suffixes of the images, tried in this order, each in upper case too, where
            the list leaves them out.

    Raises:
        FileNotFoundError: If the list or the folder is missing.
    """

    def __init__(
        self,
        img_suffix: str | tuple[str, ...] = IMAGE_SUFFIXES,
        **kwargs,
    ) -> None:
        suffixes = (img_suffix,) if isinstance(img_suffix, str) else tuple(img_suffix)
        super().__init__(img_suffix=suffixes, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images, sorted where they come from a folder."""
        folder = self.data_prefix.get('img_path') or self.data_root or ''
        if not osp.isdir(folder):
            raise FileNotFoundError(f'folder of unlabelled images not found: {folder}')
        if self.ann_file and not osp.isdir(self.ann_file):
            paths = [self._complete(osp.join(folder, name)) for name in read_list(self.ann_file)]
        else:
            names = fileio.list_dir_or_file(folder, list_dir=False, recursive=True, backend_args=self.backend_args)
            paths = sorted(osp.join(folder, name) for name in names if self._is_image(name) and not is_hidden(name))
        return [dict(img_path=path, seg_fields=[]) for path in paths]

    def _is_image(self, name: str) -> bool:
        return name.lower().endswith(tuple(suffix.lower() for suffix in self.img_suffix))

    def _complete(self, path: str) -> str:
        if self._is_image(path):
            return path
        suffixes = (either for suffix in self.img_suffix for either in (suffix, suffix.upper()))
        return next((path + suffix for suffix in suffixes if osp.isfile(path + suffix)), path)
