import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.utils.checkpoint
from mmengine.config import ConfigDict
from mmengine.logging import MessageHub, print_log
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only, tree_structure

from ..prediction import Target, score_logits, with_two_channels
from ..views import UnlabeledViews, View


@MODELS.register_module()
class SemiSegmentor(BaseSegmentor):
    """A segmentor as student, with its moving average as teacher.

    By itself it trains on the labels alone: the supervised baseline with an EMA copy. A method adds
    :meth:`loss_unlabeled`. The teacher is updated by :class:`MeanTeacherHook`, stays in eval mode and out of the
    optimizer.

    Args:
        segmentor (dict): Config of any mmseg segmentor, its ``data_preprocessor`` included.
        predict_on (str): Who predicts at validation and test: ``'teacher'`` or ``'student'``.
        ema_teacher (bool): Whether targets come from the teacher or, without gradient and in eval mode, from the
            student itself (rows of Table 3 of Kim et al. 2020).
        unsup_start (int): Iteration from which the unsupervised loss counts. Until then, and on batches without
            unlabelled images, the student trains as the segmentor would alone.
        unsup_rampup (int): Iterations over which its weight then grows to one, as exp(-5 (1 - t)^2).
        channels_last (bool): Whether weights, and so features, lie in memory with channels last, which convolutions on
            GPUs are faster with, above all in mixed precision. What is computed stays the same.
        data_preprocessor (dict, optional): For a segmentor without one. mmengine's runner hands over the variable of
            that name of a config, which mmseg's own models have, and which yields to a model's own there too.
        pretrained, train_cfg, test_cfg, init_cfg: Handed to the segmentor if set, where mmseg's tools expect them.

    Raises:
        ValueError: If ``predict_on`` or the number of iterations makes no sense.
    """

    # The views of unlabelled images that a method learns from.
    view_names: tuple[str, ...] = ()
    # Whether it uses unlabelled images in pairs, so that a batch must hold an even number of them.
    mixes_pairs = False
    # The views in which the pipeline must say where a partner is pasted.
    cutmix_views: tuple[str, ...] = ()

    def __init__(
        self,
        segmentor: dict,
        predict_on: str = 'teacher',
        ema_teacher: bool = True,
        unsup_start: int = 0,
        unsup_rampup: int = 0,
        channels_last: bool = False,
        data_preprocessor: dict | None = None,
        pretrained: str | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if predict_on not in ('teacher', 'student'):
            raise ValueError(f"{type(self).__name__}: predict_on={predict_on!r} is neither 'teacher' nor 'student'")
        if min(unsup_start, unsup_rampup) < 0:
            raise ValueError(f'{type(self).__name__}: unsup_start and unsup_rampup count iterations, from 0 on')
        segmentor = ConfigDict(copy.deepcopy(segmentor))
        overrides = dict(pretrained=pretrained, train_cfg=train_cfg, test_cfg=test_cfg, init_cfg=init_cfg)
        segmentor.update({key: value for key, value in overrides.items() if value is not None})
        base = segmentor.get('data_preprocessor') or data_preprocessor or dict(type='SegDataPreProcessor')
        super().__init__(data_preprocessor=dict(type='SemiDataPreprocessor', base=base))
        self.student = MODELS.build(segmentor)
        if channels_last:
            self.student.to(memory_format=torch.channels_last)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False).eval()
        self.predict_on = predict_on
        self.ema_teacher = ema_teacher
        self.unsup_start = unsup_start
        self.unsup_rampup = unsup_rampup
        self._heads_rng = None  # where the last head left the random numbers
        self._extracts_alike = None  # in training and at test time; known once a joint batch asks

    # Training

    def loss(self, inputs: dict[str, Tensor], data_samples: dict[str, list[SegDataSample]]) -> dict[str, Tensor]:
        """Compute the student's supervised losses and the method's unsupervised ones.

        Args:
            inputs (dict[str, Tensor]): ``'labeled'`` and the unlabelled views, each (B, 3, H, W).
            data_samples (dict[str, list[SegDataSample]]): The same for the data samples.

        Returns:
            dict[str, Tensor]: Named losses and log values.
        """
        image, samples = inputs['labeled'], data_samples['labeled']
        weight = self.unsup_weight()
        views = self.unlabeled_views(inputs, data_samples) if weight > 0 else None
        with _repeatable_checkpoints():
            if views is None:
                return {**self.loss_labeled(image, samples), **self._loss_idle()}
            joining = self.joining_images(views)
            if joining is None:
                losses = self.loss_labeled(image, samples)
            else:
                features, views.features = self.joint_features(image, joining)
                with _given_features(self.student, features):
                    losses = self.loss_labeled(image, samples)
            return self.combine(losses, weighted(self.loss_unlabeled(views), weight))

    def _loss_idle(self) -> dict[str, Tensor]:
        """Give the method's own heads, while nothing uses them, the gradient of zero that DDP waits for."""
        idle = [p.sum() for _, p in self.own_parameters() if p.requires_grad]
        return dict(loss_idle=0.0 * sum(idle)) if idle else {}

    def unlabeled_views(
        self, inputs: dict[str, Tensor], data_samples: dict[str, list[SegDataSample]]
    ) -> UnlabeledViews | None:
        """Gather the unlabelled part of a batch, if it has one."""
        images = {name: image for name, image in inputs.items() if name != 'labeled'}
        return UnlabeledViews.gather(images, data_samples) if images else None

    def loss_labeled(self, image: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute the losses that the wrapped segmentor has alone, of all its heads.

        It is called for every batch, before ``unsup_start`` too.

        Args:
            image (Tensor): (B, 3, H, W).
            data_samples (list[SegDataSample]): With their annotations.

        Returns:
            dict[str, Tensor]: Named losses and log values.
        """
        return self.student.loss(image, data_samples)

    def loss_unlabeled(self, views: UnlabeledViews) -> dict[str, Tensor]:
        """Compute a method's losses on unlabelled images; here none.

        It is not called for a batch without such images, nor before ``unsup_start``.

        Args:
            views (UnlabeledViews): The views of ``view_names``, and ``features`` of what :meth:`joining_images` names.

        Returns:
            dict[str, Tensor]: Scalars. Those with ``loss`` in their name are multiplied by :meth:`unsup_weight` and
            added up; the others are for the log.
        """
        return {}

    def combine(self, labeled: dict[str, Tensor], unlabeled: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put a batch's losses on labelled and unlabelled images together; here as they are, to be added up.

        Raises:
            ValueError: If both have a name in common.
        """
        if shared := labeled.keys() & unlabeled.keys():
            raise ValueError(
                f'{type(self).__name__}: loss_unlabeled returns {sorted(shared)}, and so does loss_labeled: name them '
                "apart, as mmseg.utils.add_prefix(losses, 'second') does"
            )
        return {**labeled, **unlabeled}

    def check_views(self, views: UnlabeledViews) -> None:
        """See before training whether the method can learn from such views.

        Args:
            views (UnlabeledViews): Of one image.

        Raises:
            ValueError: If one of ``view_names`` is missing, or nobody says where to mix one of ``cutmix_views``.
        """
        method, made = type(self).__name__, vars(views)
        missing = [name for name in self.view_names if name not in made]
        if missing:
            raise ValueError(
                f'{method} learns from the views {list(self.view_names)}, but the unlabelled pipeline makes '
                f'{list(made)}: name {missing} in its MultiView'
            )
        unmixed = [name for name in self.cutmix_views if 'cutmix_region' not in made[name].data_samples[0]]
        if unmixed:
            raise ValueError(
                f'{method} mixes the views {unmixed}, but the unlabelled pipeline does not say where: put a '
                'RandomCutMixRegion into them, or before MultiView'
            )

    def joining_images(self, views: UnlabeledViews) -> Tensor | None:
        """Name unlabelled images, (B, 3, H, W), that pass the student in one batch with the labelled ones; here none.

        :meth:`loss_unlabeled` then finds their features as ``views.features``.
        """
        return None

    def joint_features(self, labeled: Tensor, unlabeled: Tensor) -> tuple[Any, Any]:
        """Extract the student's features of labelled and unlabelled images in one batch.

        Args:
            labeled (Tensor): (B, 3, H, W).
            unlabeled (Tensor): (K, 3, H, W).

        Returns:
            tuple: What the student's ``extract_feat`` gives, for the labelled images as in training, for the others
            as at test time. Networks for which the two differ (PIDNet, DDRNet) see the images apart.

        Raises:
            ValueError: If the images differ in size.
        """
        if labeled.shape[1:] != unlabeled.shape[1:]:
            raise ValueError(
                f'{type(self).__name__} passes labelled and unlabelled images in one batch, but they measure '
                f'{tuple(labeled.shape[2:])} and {tuple(unlabeled.shape[2:])}: use one crop_size for both'
            )
        if self._extracts_alike is None:
            with torch.no_grad(), eval_mode(self.student):
                at_test = tree_structure(self.student.extract_feat(labeled[:1]))
                for part in self.student.children():
                    part.training = True
                self._extracts_alike = at_test == tree_structure(self.student.extract_feat(labeled[:1]))
        if not self._extracts_alike:
            features = self.student.extract_feat(labeled)
            with test_outputs(self.student):
                return features, self.student.extract_feat(unlabeled)
        features = self.student.extract_feat(torch.cat([labeled, unlabeled]))
        count = len(labeled)
        return tuple(
            tree_map_only(Tensor, lambda feature, part=part: feature[part], features)
            for part in (slice(count), slice(count, None))
        )

    def unsup_weight(self) -> float:
        """Give the weight of the unsupervised losses at this iteration of the runner, in [0, 1]."""
        elapsed = MessageHub.get_current_instance().get_info('iter', 0) - self.unsup_start
        if elapsed < 0:
            return 0.0
        return math.exp(-5 * (1 - min(1.0, elapsed / self.unsup_rampup)) ** 2) if self.unsup_rampup else 1.0

    def student_input(self, views: UnlabeledViews) -> tuple[Tensor, Target] | None:
        """Make the images that the student sees and the targets that it learns from, for losses and pictures.

        Returns:
            tuple[Tensor, Target] | None: Here those of the view ``weak``, if there is one.
        """
        return (views.weak.image, self.teacher_target(views.weak)) if hasattr(views, 'weak') else None

    @torch.no_grad()
    def teacher_target(self, view: View, network: nn.Module | None = None) -> Target:
        """Predict what the student shall learn.

        Args:
            view (View): Images, and where their prediction may be used.
            network (nn.Module, optional): A segmentor that predicts in eval mode. Defaults to the teacher or, without
                ``ema_teacher``, the student.

        Returns:
            Target: Of image size, with nothing pasted.
        """
        if network is None:
            network = self.teacher if self.ema_teacher else self.student
        with eval_mode(network):
            logits = self.seg_logits(network, view.image)
        return Target(logits, view.valid, region=torch.zeros_like(view.region))

    def seg_logits(self, network: nn.Module, image: Tensor, features: Any = None) -> Tensor:
        """Run a segmentor as at test time, in its present mode of normalisation and dropout.

        Args:
            network (nn.Module): Student or teacher.
            image (Tensor): (B, 3, H, W).
            features (optional): What ``extract_feat`` gave for these images, to go on from there.

        Returns:
            Tensor: (B, C, H, W) logits at image size; a binary head's single channel becomes two, and scores of mask
            classification their logarithms.
        """
        metas = [dict(ori_shape=image.shape[2:], img_shape=image.shape[2:], pad_shape=image.shape[2:])] * len(image)
        with test_outputs(network), nullcontext() if features is None else _given_features(network, features):
            output = network.encode_decode(image, metas)
        return with_two_channels(score_logits(network.decode_head, output))

    # Weights

    @contextmanager
    def own_heads(self) -> Iterator[None]:
        """Build a method's own heads within: the random numbers that they draw are drawn again after it.

        With the same seed, the student then begins, and until ``unsup_start`` goes on, as without the method. Build a
        second network from its config: a copy of the student would be initialised with the student's random numbers.
        """
        with torch.random.fork_rng(devices=[]):
            if self._heads_rng is not None:
                torch.set_rng_state(self._heads_rng)
            yield
            self._heads_rng = torch.get_rng_state()

    @torch.no_grad()
    def copy_student_to_teacher(self) -> None:
        """Make the teacher equal to the student, buffers included."""
        self.teacher.load_state_dict(self.student.state_dict())

    def init_weights(self) -> None:
        """Initialise the student as the wrapped segmentor would be, the method's own heads, then the teacher."""
        self.student.init_weights()
        with self.own_heads():
            for name, module in self.named_children():
                if name != 'student' and hasattr(module, 'init_weights'):
                    module.init_weights()
        self.copy_student_to_teacher()
        self._is_init = True

    def train(self, mode: bool = True) -> 'SemiSegmentor':
        """Set the mode of everything but the teacher, which stays in eval mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        """Take checkpoints of this model, and plain ones of the wrapped segmentor for student and teacher.

        mmengine loads with ``strict=False``, which would leave a wrong checkpoint's weights unused without a word.
        """
        keys = [key for key in state_dict if key.startswith(prefix)]
        if not any(key.startswith((f'{prefix}student.', f'{prefix}teacher.')) for key in keys):
            for key in keys:
                if not key.startswith(f'{prefix}data_preprocessor.'):
                    value = state_dict.pop(key)
                    for branch in ('student', 'teacher'):
                        state_dict[f'{prefix}{branch}.{key[len(prefix) :]}'] = value
            print_log('The checkpoint of a plain segmentor fills student and teacher.', 'current')
        self._refuse_mismatch(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _refuse_mismatch(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        problems = []
        for branch in ('student', 'teacher'):
            own = {f'{prefix}{branch}.{k}': v for k, v in getattr(self, branch).state_dict().items()}
            given = {k: v for k, v in state_dict.items() if k.startswith(f'{prefix}{branch}.')}
            problems += [f'{k}: missing' for k in own.keys() - given.keys() if not k.endswith('num_batches_tracked')]
            problems += [f'{k}: not in the model' for k in given.keys() - own.keys()]
            problems += [
                f'{k}: {tuple(given[k].shape)} in the checkpoint, {tuple(own[k].shape)} in the model'
                for k in own.keys() & given.keys()
                if own[k].shape != given[k].shape
            ]
        if problems:
            raise RuntimeError(
                f'the checkpoint does not fit {type(self).__name__}, {len(problems)} weights differ: '
                f'{"; ".join(sorted(problems)[:4])}{"; ..." if len(problems) > 4 else ""}. Use a checkpoint of the '
                'same model; to start from a part of one, set init_cfg=dict(type="Pretrained", checkpoint=...) in '
                'the segmentor instead of load_from'
            )

    # The parameters of this model are what an optimizer may change, under the names that the wrapped segmentor gives
    # them alone: paramwise settings and layer-decay constructors of its config keep their meaning.

    def named_parameters(
        self, prefix: str = '', recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Iterate over the student's parameters without a prefix, then the method's own and those of its heads."""
        if not recurse:
            return super().named_parameters(prefix, recurse, remove_duplicate)
        of_student = self.student.named_parameters(prefix, remove_duplicate=remove_duplicate)
        return chain(of_student, self.own_parameters(prefix, remove_duplicate))

    def own_parameters(self, prefix: str = '', remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
        """Iterate over the parameters that the method adds: its own, then those of its heads."""
        heads = [(name, module) for name, module in self.named_children() if name != 'student']
        dot = prefix and f'{prefix}.'
        return chain(
            super().named_parameters(prefix, recurse=False),
            *(module.named_parameters(f'{dot}{name}', remove_duplicate=remove_duplicate) for name, module in heads),
        )

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Iterate over the children but the teacher."""
        return ((name, module) for name, module in super().named_children() if name != 'teacher')

    def children(self) -> Iterator[nn.Module]:
        """Iterate over all children: devices, types and modes concern the teacher as well."""
        return (module for _, module in super().named_children())

    @property
    def backbone(self) -> nn.Module:
        """nn.Module: The student's backbone, whose class layer-decay constructors ask for."""
        return self.student.backbone

    # Prediction

    @property
    def predictor(self) -> nn.Module:
        """nn.Module: The segmentor that predicts."""
        return getattr(self, self.predict_on)

    @property
    def out_channels(self) -> int:
        """int: Channels of the logits, as ``SegTTAModel`` needs them."""
        return self.predictor.out_channels

    @property
    def decode_head(self) -> nn.Module:
        """nn.Module: The predictor's decode head, as mmseg's tools need it."""
        return self.predictor.decode_head

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Predict with the predictor's own whole or slide inference."""
        return self.predictor.predict(inputs, data_samples)

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        return self.predictor._forward(inputs, data_samples)

    def extract_feat(self, inputs: Tensor) -> list[Tensor]:
        """Extract the predictor's features."""
        return self.predictor.extract_feat(inputs)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Run the predictor to logits of image size."""
        return self.predictor.encode_decode(inputs, batch_img_metas)


def weighted(losses: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
    """Multiply losses, and leave log values as they are."""
    return {
        name: tree_map_only(Tensor, lambda loss: weight * loss, value) if 'loss' in name else value
        for name, value in losses.items()
    }


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Run a block with a network in eval mode."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
        # What autocast cast without gradient, older torch would use for passes with one too.
        torch.clear_autocast_cache()


@contextmanager
def test_outputs(network: nn.Module) -> Iterator[None]:
    """Let a network give its test-time outputs while normalisation and dropout below stay in their mode.

    Backbones, necks and heads with several outputs in training (PIDNet, K-Net, ...) choose by their own flag alone.
    """
    parts = [network]
    for part in network.children():
        parts += [part, *part] if isinstance(part, nn.ModuleList) else [part]
    modes = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        yield
    finally:
        for part, mode in zip(parts, modes, strict=True):
            part.training = mode


@contextmanager
def _repeatable_checkpoints() -> Iterator[None]:
    """Let a network whose backbone recomputes its maps (``with_cp``) be passed several times in one step of DDP.

    Reentrant checkpoints, torch's default, give a weight its gradient once a pass, which DDP takes for an error.
    """
    checkpoint = torch.utils.checkpoint.checkpoint
    torch.utils.checkpoint.checkpoint = partial(checkpoint, use_reentrant=False)
    try:
        yield
    finally:
        torch.utils.checkpoint.checkpoint = checkpoint


@contextmanager
def _given_features(network: nn.Module, features: Any) -> Iterator[None]:
    """Let a segmentor's own ``loss`` or ``encode_decode``, whatever they do, go on from features that are there."""
    asked = []
    network.extract_feat = lambda inputs: asked.append(True) or features
    try:
        yield
    finally:
        del network.extract_feat
    if not asked:
        raise ValueError(
            f'{type(network).__name__} makes its features elsewhere than in extract_feat, where methods that pass '
            'labelled and unlabelled images in one batch put theirs: use CutMixMeanTeacher with joint_batch=False, or '
            'FixMatch with ema_teacher=True'
        )
