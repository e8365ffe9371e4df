import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mmseg_semi.utils.wrapper import unwrapped
from mmseg_semi.visualization import colorize, heat, panel, three_channels


@HOOKS.register_module()
class PseudoLabelVisualizationHook(Hook):
    """Draw what the student sees, the pseudo label it learns from and how sure that is.

    Pixels that do not count are black in the pseudo label. Pictures go to every backend of the visualizer, as
    ``pseudo_label``.

    Args:
        interval (int): Iterations between two pictures.
        num_images (int): Rows of a picture, at most.
    """

    def __init__(self, interval: int = 500, num_images: int = 4) -> None:
        self.interval = interval
        self.num_images = num_images

    @master_only
    @torch.no_grad()
    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw the batch that was trained on; what a method draws at random, it draws anew."""
        if not self.every_n_train_iters(runner, self.interval):
            return
        model = unwrapped(runner.model)
        data = model.data_preprocessor(data_batch, training=True)
        views = model.unlabeled_views(**data)
        shown = None if views is None else model.student_input(views)
        if shown is None:
            return
        image, target = shown
        base = model.data_preprocessor.base
        if base._enable_normalize:
            image = image * base.std + base.mean
        label = target.label.where(target.valid, 255).cpu().numpy()
        confidence = target.confidence.cpu().numpy()
        pixels = three_channels(image.clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy())
        # The two lines of OpenMMLab packages spell it differently.
        is_rgb = getattr(base, '_channel_conversion', None) or getattr(base, 'channel_conversion', False)
        pixels = pixels if is_rgb else np.ascontiguousarray(pixels[..., ::-1])
        palette = runner.train_dataloader.dataset.metainfo['palette']
        rows = [
            [pixels[i], colorize(label[i], palette), heat(confidence[i])]
            for i in range(min(len(pixels), self.num_images))
        ]
        picture = panel(rows, ['student sees', 'pseudo label', 'confidence'])
        runner.visualizer.add_image('pseudo_label', picture, step=runner.iter + 1)
