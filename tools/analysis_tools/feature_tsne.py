"""Show what the context does to the features of a pixel: t-SNE of pixels that two crops of one image share.

    python tools/analysis_tools/feature_tsne.py CONFIG CKPT --baseline-checkpoint CKPT -o tsne.png

The idea of Fig. 3 of Lai et al., Semi-supervised Semantic Segmentation with Directional Context-aware Consistency, CVPR
2021. Crops are drawn from the validation images as in training, but neither flipped nor recoloured; features are those
before the classifier, in cells of the stride. The two crops are mapped together, each checkpoint by itself, and all
checkpoints see the same crops. It prints, over all cells that two crops share,

- the mean cosine similarity of a cell's features in one and in the other crop,
- that of cells of different classes, one in each crop: what the former is to be held against,
- the share of cells whose prediction differs between the crops.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import DATASETS
from torch import Tensor

import mmseg_semi  # noqa: F401
from mmseg_semi.datasets.conversion import errors_in_one_sentence, image_file, save_image
from mmseg_semi.models import features_before_classifier, load_segmentor, overlap_cells, pool_to_stride
from mmseg_semi.models.features import classifier
from mmseg_semi.utils.config import load_config

try:
    from sklearn.manifold import TSNE
except ImportError:
    raise SystemExit("feature_tsne.py needs scikit-learn: pip install -e '.[analysis]'") from None

CONTEXTS = (('1', 'o', '#d95f02'), ('2', 'x', '#1f78b4'))  # name, marker and colour of each crop


class Cells(NamedTuple):
    """Features (2, n, C) and predictions (2, n) of cells in both crops, and their true labels (n,), 255 if unknown."""

    feature: Tensor
    prediction: Tensor
    label: Tensor


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, of this package or of mmseg')
    parser.add_argument('checkpoint', help='semi-supervised checkpoint, or a plain one of the segmentor')
    parser.add_argument('--baseline-checkpoint', help='another one of the same segmentor, to compare with')
    parser.add_argument('-o', '--out', type=image_file, default=Path('feature_tsne.png'), help='default: %(default)s')
    parser.add_argument('--predict-on', choices=['teacher', 'student'], help="default: the config's own predict_on")
    parser.add_argument('--images', type=int, default=8, help='images, spread over the validation list (%(default)s)')
    parser.add_argument('--points', type=int, default=500, help='cells that are drawn, in both crops (%(default)s)')
    parser.add_argument('--crop-size', type=int, nargs=2, metavar=('H', 'W'), help='default: the crop of training')
    parser.add_argument('--stride', type=int, default=8, help="side of a cell; the crops' sides are multiples of it")
    parser.add_argument('--iou-range', type=float, nargs=2, default=(0.1, 0.5), help='of two crops (%(default)s)')
    parser.add_argument('--perplexity', type=float, default=30.0, help='of the t-SNE (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of crops, points and t-SNE (%(default)s)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='override settings')
    return parser.parse_args()


def draw_pairs(cfg: Config, args: argparse.Namespace) -> tuple[list[dict], dict]:
    """Draw two crops of some validation images.

    Returns:
        tuple[list[dict], dict]: Samples as :class:`MultiView` packs them, and the dataset's classes and palette.

    Raises:
        ValueError: If the crops do not fit the stride or the images.
    """
    size = args.crop_size or (cfg.model.get('segmentor', cfg.model).get('data_preprocessor') or {}).get('size')
    if not size:
        raise ValueError("the config's data preprocessor has no size: give --crop-size H W")
    dataset_cfg = cfg.val_dataloader.dataset
    others = ('LoadImageFromFile', 'LoadAnnotations', 'PackSegInputs')
    dataset_cfg.pipeline = [
        dict(type='LoadUnlabeledImage', diagnose=True),
        *(transform for transform in dataset_cfg.pipeline if transform.type not in others),
        dict(type='PairedRandomCrop', crop_size=tuple(size), stride=args.stride, iou_range=args.iou_range),
        dict(type='MultiView', crop1=[], crop2=[]),
    ]
    dataset = DATASETS.build(dataset_cfg)
    np.random.seed(args.seed)
    chosen = np.unique(np.linspace(0, len(dataset) - 1, args.images).astype(int))
    samples = [dataset[int(index)] for index in chosen]
    for crop in (sample['data_samples']['crop1'] for sample in samples):
        if not crop.iou_in_range:
            raise ValueError(
                f'{crop.img_path} is too small for two crops of {tuple(size)} pixels with an IoU in '
                f'{tuple(args.iou_range)}: choose a smaller --crop-size'
            )
    return samples, dataset.metainfo


@torch.no_grad()
def look(network: BaseSegmentor, samples: list[dict], stride: int) -> Cells:
    """Run a network on both crops of each image, and pair the cells that they share."""
    found = []
    centre = slice(stride // 2, None, stride)
    for sample in samples:
        crops = dict(inputs=list(sample['inputs'].values()), data_samples=list(sample['data_samples'].values()))
        image = network.data_preprocessor(crops)['inputs']
        feature = pool_to_stride(features_before_classifier(network, image), image.shape[2:], stride)
        logits = classifier(network)(feature)
        prediction = logits.argmax(dim=1) if logits.shape[1] > 1 else (logits[:, 0] > 0).long()
        first, second = crops['data_samples']
        (_, y, x), (_, v, u) = overlap_cells([first], [second], stride)
        found.append(
            Cells(
                torch.stack([feature[0, :, y, x].t(), feature[1, :, v, u].t()]),
                torch.stack([prediction[0, y, x], prediction[1, v, u]]),
                first.true_label.data[0, centre, centre][y, x],
            )
        )
    return Cells(*(torch.cat(parts, dim=-2 if parts[0].dim() == 3 else -1) for parts in zip(*found, strict=True)))


def measure(cells: Cells) -> dict[str, float]:
    """Compare the contexts.

    Returns:
        dict[str, float]: Mean cosine similarity of the ``same`` cell and of cells of ``other`` classes in both crops,
        in [-1, 1], and the share ``flips`` of cells with two predictions.
    """
    one, two = F.normalize(cells.feature.double(), dim=2)
    # Sums over classes give the mean over all pairs without forming them.
    labels, number = cells.label[cells.label != 255].unique(return_inverse=True)
    known = F.one_hot(number, len(labels)).double()
    size = known.sum(dim=0)
    sums = [known.t() @ unit[cells.label != 255] for unit in (one, two)]
    pairs = size.sum().square() - size.square().sum()
    other = sums[0].sum(dim=0) @ sums[1].sum(dim=0) - (sums[0] * sums[1]).sum()
    return dict(
        same=(one * two).sum(dim=1).mean().item(),
        other=(other / pairs).item(),
        flips=(cells.prediction[0] != cells.prediction[1]).double().mean().item(),
    )


def embed(cells: Cells, chosen: Tensor, perplexity: float, seed: int) -> np.ndarray:
    """Map the features of some cells, in both crops together, to the plane, (2, n, 2)."""
    feature = cells.feature[:, chosen].flatten(0, 1)
    # All features alike, as of a collapsed network, have no principal components.
    init = 'pca' if (feature != feature[0]).any() else 'random'
    perplexity = min(perplexity, (len(feature) - 1) / 3)
    tsne = TSNE(metric='cosine', init=init, perplexity=perplexity, random_state=seed)
    return tsne.fit_transform(feature.numpy()).reshape(2, -1, 2)


def draw(samples: list[dict], maps: dict[str, np.ndarray], label: np.ndarray, metainfo: dict) -> np.ndarray:
    """Draw a pair of crops, and each map twice: by class, and by context with a line between the two of a cell.

    Args:
        samples (list[dict]): The first one is shown.
        maps (dict[str, np.ndarray]): (2, n, 2) positions by title.
        label (np.ndarray): (n,) classes.
        metainfo (dict): The dataset's classes and palette.

    Returns:
        np.ndarray: (H, W, 3) uint8, RGB.
    """
    palette = np.array(metainfo['palette']) / 255
    figure = Figure(figsize=(3 + 4 * len(maps), 8), dpi=80, layout='constrained')
    axes = figure.subplots(2, 1 + len(maps), width_ratios=[3, *[4] * len(maps)])
    crops = zip(samples[0]['inputs'].values(), samples[0]['data_samples'].values(), CONTEXTS, strict=True)
    for axis, (image, sample, (name, marker, color)) in zip(axes[:, 0], crops, strict=True):
        axis.imshow(image.numpy()[::-1].transpose(1, 2, 0))
        top, left, bottom, right = sample.overlap
        axis.add_patch(
            Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, ec='yellow', lw=3, clip_on=False)
        )
        axis.set_title(f'context {name} ({marker})', color=color)
    for column, (title, places) in enumerate(maps.items(), start=1):
        by_class, by_context = axes[:, column]
        by_class.set_title(title)
        by_context.add_collection(LineCollection(places.transpose(1, 0, 2), colors='0.6', linewidths=0.5))
        for (_, marker, color), place in zip(CONTEXTS, places, strict=True):
            style = dict(marker=marker, s=14, linewidths=0.8)
            by_class.scatter(*place.T, c=palette[label], **style)
            by_context.scatter(*place.T, c=color, **style)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    names = [Patch(color=palette[i], label=metainfo['classes'][i]) for i in np.unique(label)]
    figure.legend(handles=names, loc='outside lower center', ncols=6, frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def main() -> None:
    args = parse_args()
    with errors_in_one_sentence():
        cfg = load_config(args.config, args.cfg_options)
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        checkpoints = {'baseline': args.baseline_checkpoint, 'model': args.checkpoint}
        networks = {
            name: load_segmentor(cfg, path, args.predict_on) for name, path in checkpoints.items() if path is not None
        }
        samples, metainfo = draw_pairs(cfg, args)
        cells = {name: look(network, samples, args.stride) for name, network in networks.items()}
        label = next(iter(cells.values())).label
        known = (label != 255).nonzero().squeeze(dim=1)
        if len(label[known].unique()) < 2:
            raise ValueError('the crops share pixels of fewer than two classes: take more --images')

    print(f'{len(label)} cells of {len(samples)} images\n')
    print(f'{"":10}{"cosine, same cell":>20}{"other class":>14}{"predictions that flip":>24}')
    chosen = known[torch.randperm(len(known), generator=torch.Generator().manual_seed(args.seed))[: args.points]]
    maps = {}
    for name, found in cells.items():
        result = measure(found)
        print(f'{name:10}{result["same"]:>20.3f}{result["other"]:>14.3f}{result["flips"]:>24.1%}')
        title = f'{name}: cosine {result["same"]:.3f}, flips {result["flips"]:.1%}'
        maps[title] = embed(found, chosen, args.perplexity, args.seed)
    save_image(draw(samples, maps, label[chosen].numpy(), metainfo), args.out)
    print(f'\n{args.out}')


if __name__ == '__main__':
    main()
