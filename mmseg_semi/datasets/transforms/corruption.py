from pathlib import Path
from zlib import crc32

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmseg_semi.utils.seed import derive_seed, seeded


@TRANSFORMS.register_module()
class ImageCorruption(BaseTransform):
    """Corrupt an image as ImageNet-C does, to test how a network takes it.

    `Hendrycks and Dietterich, ICLR 2019 <https://arxiv.org/abs/1903.12261>`_; the corruptions are those of the package
    ``imagecorruptions-imaug``. An image is corrupted the same way, also in all views of test-time augmentation, in
    every process and run: what is random depends on the file's name and ``seed`` alone.

    Required Keys:

    - img (np.uint8): (H, W, 3), BGR, as mmcv loads it, at least 32 x 32
    - img_path

    Modified Keys:

    - img

    Args:
        corruption (str): One of the 19 that :func:`corruption_names` lists, such as ``'gaussian_noise'`` or ``'fog'``.
        severity (int): From 1 to 5.
        seed (int): Another one gives other noise.

    Raises:
        ImportError: If the package is not installed.
        ValueError: If there is no such corruption or severity.
    """

    def __init__(self, corruption: str, severity: int = 1, seed: int = 0) -> None:
        names = corruption_names('all')
        if corruption not in names:
            raise ValueError(f'ImageCorruption: corruption={corruption!r} is none of {", ".join(names)}')
        if severity not in range(1, 6):
            raise ValueError(f'ImageCorruption: severity={severity!r} is not one of 1, 2, 3, 4, 5')
        self.corruption = corruption
        self.severity = severity
        self.seed = seed

    def transform(self, results: dict) -> dict:
        """Corrupt ``results['img']``.

        Raises:
            ValueError: If it is not an image of bytes, three channels and 32 x 32 pixels or more.
        """
        image, path = results['img'], results['img_path']
        if image.dtype != np.uint8 or image.shape[2:] != (3,) or min(image.shape[:2]) < 32:
            raise ValueError(
                f'ImageCorruption: {path} was loaded as {image.dtype} of shape {image.shape}; it takes uint8 of '
                '(H, W, 3), at least 32 x 32: put it right behind LoadImageFromFile, without to_float32'
            )
        seed = derive_seed(self.seed, crc32(Path(path).name.encode()))
        # Two do not draw from numpy's global generator.
        own = dict(seed=seed) if self.corruption in ('glass_blur', 'impulse_noise') else {}
        with seeded(seed):
            rgb = _package().corrupt(
                np.ascontiguousarray(image[..., ::-1]),
                severity=self.severity,
                corruption_name=self.corruption,
                **own,
            )
        results['img'] = np.ascontiguousarray(rgb[..., ::-1])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(corruption={self.corruption!r}, severity={self.severity}, seed={self.seed})'


def corruption_names(group: str = 'common') -> list[str]:
    """List the corruptions of a group.

    Args:
        group (str): ``'noise'``, ``'blur'``, ``'weather'`` or ``'digital'``; ``'common'``, the 15 of these; their
            ``'validation'``, 4 more to choose settings with; or ``'all'``.

    Raises:
        ImportError: If the package is not installed.
    """
    return _package().get_corruption_names(group)


def _package():
    try:
        import imagecorruptions
    except ImportError as error:
        raise ImportError(
            f'ImageCorruption needs the package imagecorruptions-imaug ({error}): '
            "pip install -e '.[robustness]' in the repository of mmseg_semi"
        ) from error
    return imagecorruptions
