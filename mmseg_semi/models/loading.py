import pickle

from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.registry import MODELS
from torch import Tensor


def branch_weights(checkpoint: dict, branch: str) -> dict[str, Tensor]:
    """Take one branch out of a checkpoint.

    Args:
        checkpoint (dict): Of any model.
        branch (str): ``'teacher'`` or ``'student'``.

    Returns:
        dict[str, Tensor]: Weights under the names of the wrapped segmentor; none where there is no such branch.
    """
    prefix = f'{branch}.'
    state_dict = checkpoint.get('state_dict', checkpoint)
    return {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}


def load_segmentor(cfg: Config, checkpoint: str, predict_on: str | None = None) -> BaseSegmentor:
    """Build the segmentor that a config deploys, as mmseg builds it alone, and load it.

    Args:
        cfg (Config): Of this package or of mmseg.
        checkpoint (str): File or URL: a semi-supervised checkpoint, or a plain one of the segmentor.
        predict_on (str, optional): ``'teacher'`` or ``'student'``, of a semi-supervised checkpoint. Defaults to the
            config's own ``predict_on``.

    Returns:
        BaseSegmentor: In eval mode, on the CPU, without SyncBN, with ``cfg`` and ``dataset_meta`` as mmseg's inference
        needs them; ``cfg.test_pipeline`` is that of ``test_dataloader``, if it has one.

    Raises:
        ValueError: If the checkpoint cannot be read, its weights do not fit, or it has no such branch.
    """
    try:
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location='cpu')
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f'the checkpoint {checkpoint} cannot be read: {error}') from error
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    inner = {**cfg.model.get('segmentor', cfg.model)}
    inner['test_cfg'] = cfg.model.get('test_cfg') or inner.get('test_cfg')
    places = (inner, cfg.model, cfg)  # as the runner and SemiSegmentor look for it
    inner['data_preprocessor'] = next((at['data_preprocessor'] for at in places if at.get('data_preprocessor')), None)
    segmentor = revert_sync_batchnorm(MODELS.build(inner)).eval()
    weights = branch_weights(content, predict_on or cfg.model.get('predict_on', 'teacher'))
    if predict_on and not weights:
        raise ValueError(f'the checkpoint {checkpoint} has no {predict_on}: leave predict_on out')
    try:
        segmentor.load_state_dict(weights or content.get('state_dict', content))
    except RuntimeError as error:
        difference = ' '.join(str(error).split())[:300]
        raise ValueError(f'the checkpoint {checkpoint} does not fit the config: {difference}') from error
    segmentor.cfg = cfg.copy()
    tested = (cfg.get('test_dataloader') or {}).get('dataset', {})
    pipeline = tested.get('pipeline') or cfg.get('test_pipeline')
    segmentor.cfg.test_pipeline = pipeline and [*pipeline]
    classes = dict(classes=tuple(map(str, range(segmentor.num_classes))))
    segmentor.dataset_meta = content.get('meta', {}).get('dataset_meta') or classes
    return segmentor
