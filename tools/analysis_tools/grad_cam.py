"""Show which regions of an image speak for a class, or for what is predicted at one pixel: Grad-CAM.

    python tools/analysis_tools/grad_cam.py CONFIG CKPT IMAGE --class car -o car.png
    python tools/analysis_tools/grad_cam.py CONFIG CKPT IMAGE --pixel 120 80 -o pixel.png

A class is explained by its logits summed over the pixels where it is predicted, a pixel by the logit of its predicted
class (Fig. 1 of Lai et al., Semi-supervised Semantic Segmentation with Directional Context-aware Consistency, CVPR
2021). The picture shows the pixels in question and, in red, where features raise these logits; its scale is its own.
"""

import argparse
from difflib import get_close_matches
from pathlib import Path

import cv2
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import DictAction
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import DATASETS
from torch import Tensor, nn

import mmseg_semi  # noqa: F401
from mmseg_semi.datasets.checks import check_image
from mmseg_semi.datasets.conversion import errors_in_one_sentence, image_file, save_image
from mmseg_semi.models import load_segmentor
from mmseg_semi.models.features import last_head
from mmseg_semi.utils.config import load_config
from mmseg_semi.visualization import panel

try:
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import show_cam_on_image
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget
except ImportError:
    raise SystemExit("grad_cam.py needs grad-cam: pip install -e '.[analysis]'") from None

YELLOW = (255, 230, 0)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('checkpoint', help='semi-supervised checkpoint, or a plain one of the segmentor')
    parser.add_argument('image', help='image file')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--class', dest='class_name', help='class to explain')
    what.add_argument('--pixel', type=int, nargs=2, metavar=('X', 'Y'), help='pixel of the image to explain')
    parser.add_argument('-o', '--out', type=image_file, default=Path('grad_cam.png'), help='default: %(default)s')
    parser.add_argument('--layer', help='layer that is looked at; default: what makes the last features for the head')
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the config's own predict_on")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser.parse_args()


class Logits(nn.Module):
    """A segmentor as a function from images (B, 3, H, W) to logits (B, C, H, W); of two classes for a binary head."""

    def __init__(self, segmentor: BaseSegmentor) -> None:
        super().__init__()
        self.segmentor = segmentor

    def forward(self, image: Tensor) -> Tensor:
        size = image.shape[2:]
        metas = [dict(ori_shape=size, img_shape=size, pad_shape=size)] * len(image)
        logits = self.segmentor.encode_decode(image, metas)
        return logits if logits.shape[1] > 1 else torch.cat([-logits, logits], dim=1)


def find_layer(model: Logits, image: Tensor, name: str | None) -> tuple[str, Tensor]:
    """Choose a layer, and predict.

    Args:
        model (Logits): Network.
        image (Tensor): (1, 3, H, W).
        name (str, optional): Layer of the segmentor. Defaults to the outermost one that makes the last of the features
            that the decode head takes.

    Returns:
        tuple[str, Tensor]: Name of the layer, and (1, C, H, W) logits.

    Raises:
        ValueError: If there is no such layer, or it makes no feature map.
    """
    segmentor, outputs = model.segmentor, {}
    hooks = [
        module.register_forward_hook(lambda _, args, output, name=name: outputs.update({name: output}))
        for name, module in segmentor.named_modules()
    ]
    with torch.no_grad():
        logits = model(image)
    for hook in hooks:
        hook.remove()
    maps = {name: output for name, output in outputs.items() if isinstance(output, Tensor) and output.dim() == 4}
    if name is None:
        part = 'neck' if segmentor.with_neck else 'backbone'
        features, index = outputs[part], getattr(last_head(segmentor), 'in_index', -1)
        last = features if isinstance(features, Tensor) else features[index if isinstance(index, int) else index[-1]]
        makers = [name for name, output in maps.items() if output is last]
        if not makers:
            others = [name for name in maps if name.startswith('decode_head.')]
            raise ValueError(
                f'no layer of {type(getattr(segmentor, part)).__name__} makes its last features by itself: give '
                f'--layer, such as {others[0]}'
            )
        return min(makers, key=lambda name: name.count('.')), logits
    if name not in maps:
        near = get_close_matches(name, maps, n=3, cutoff=0) or list(maps)[:3]
        raise ValueError(f'no layer {name!r} of the network makes a feature map (1, C, h, w); near: {", ".join(near)}')
    return name, logits


def explain(model: Logits, image: Tensor, layer: str, category: int, where: np.ndarray) -> np.ndarray:
    """Compute Grad-CAM of a class over some pixels.

    Args:
        model (Logits): Network.
        image (Tensor): (1, 3, H, W).
        layer (str): Layer of the segmentor.
        category (int): Class.
        where (np.ndarray): (H, W) bool, the pixels.

    Returns:
        np.ndarray: (H, W) float32 in [0, 1].
    """
    target = SemanticSegmentationTarget(category, where.astype(np.float32))
    with GradCAM(model, [model.segmentor.get_submodule(layer)]) as cam:
        return cam(image.clone().requires_grad_(), [target])[0]


def main() -> None:
    args = parse_args()
    with errors_in_one_sentence():
        height, width = check_image(args.image, whole=True)
        cfg = load_config(args.config, args.cfg_options)
        dataset = cfg.test_dataloader.dataset
        segmentor = load_segmentor(cfg, args.checkpoint, args.predict_on)
        classes = list({**DATASETS.get(dataset.type).METAINFO, **dataset.get('metainfo', {})}['classes'])
        if args.class_name is not None and args.class_name not in classes:
            raise ValueError(f'no class {args.class_name!r}; there are: {", ".join(classes)}')
        if args.pixel and not (0 <= args.pixel[0] < width and 0 <= args.pixel[1] < height):
            raise ValueError(f'pixel {args.pixel} lies outside {args.image} of {width} x {height} pixels')
        pipeline = Compose([step for step in dataset.pipeline if step.type != 'LoadAnnotations'])
        sample = pipeline(dict(img_path=args.image))
        image = segmentor.data_preprocessor({key: [value] for key, value in sample.items()})['inputs']
        model = Logits(segmentor)
        layer, logits = find_layer(model, image, args.layer)

    rows, columns = sample['inputs'].shape[1:]  # what lies beyond is padding
    prediction = logits[0, :, :rows, :columns].argmax(dim=0).numpy()
    where = np.zeros(image.shape[2:], dtype=bool)
    if args.pixel:
        x, y = args.pixel[0] * columns // width, args.pixel[1] * rows // height
        where[y, x], category = True, int(prediction[y, x])
    else:
        category = classes.index(args.class_name)
        where[:rows, :columns] = prediction == category
        if not where.any():
            print(f'{args.class_name} is predicted nowhere: its logits over the whole image are explained')
            where[:rows, :columns] = True
    cam = explain(model, image, layer, category, where)

    shown = cv2.cvtColor(cv2.imread(args.image), cv2.COLOR_BGR2RGB)
    cam = cv2.resize(cam[:rows, :columns], (width, height))
    painted = show_cam_on_image(np.float32(shown / 255), cam, use_rgb=True)
    if args.pixel:
        for picture in (shown, painted):
            cv2.drawMarker(picture, args.pixel, YELLOW, markerSize=max(7, width // 24), thickness=1 + width // 300)
    else:
        region = cv2.resize(where[:rows, :columns].astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        outlines = cv2.findContours(region, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(shown, outlines, -1, YELLOW, thickness=1 + width // 300)
    save_image(panel([[shown, painted]], ['image', classes[category]]), args.out)
    print(f'{classes[category]} at {layer}: {args.out}')


if __name__ == '__main__':
    main()
