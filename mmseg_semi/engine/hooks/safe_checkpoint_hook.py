import os
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmseg.registry import HOOKS
from torch.optim import Optimizer


class AtomicLocalBackend(LocalBackend):
    """Local files that are there as a whole or not at all, whenever the process dies."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write beside ``filepath``, then rename.

        Raises:
            OSError: If the file cannot be written; what stood there before still does.
        """
        os.makedirs(osp.dirname(filepath) or '.', exist_ok=True)
        temporary = f'{filepath}.{os.getpid()}.tmp'
        try:
            with open(temporary, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, filepath)
        except OSError as error:
            Path(temporary).unlink(missing_ok=True)
            raise OSError(
                error.errno,
                f'cannot save {filepath}: {error.strerror}. Files saved before are untouched; '
                'make room there and continue with --resume',
            ) from error

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text as :meth:`put` writes bytes."""
        self.put(obj.encode(encoding), filepath)


register_backend('atomic_local', AtomicLocalBackend, force=True)


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook``, after which some checkpoint that resumes is left at any moment.

    A checkpoint is written whole or not at all, ``last_checkpoint`` names it once it is there, and only then are
    outdated ones removed; those of another work dir never are, which a checkpoint that was copied from there names.
    Arguments are those of ``CheckpointHook``.

    Raises:
        ValueError: If a checkpoint would be saved while accumulated gradients wait for their step, which are in none;
            or if training resumes with another optimizer, or other weights for it, than the checkpoint has.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.backend_args is None and self.file_client_args is None and '://' not in str(self.out_dir):
            self.backend_args = dict(backend='atomic_local')

    def before_train(self, runner) -> None:
        """Prepare the folder and clear what a killed run left half-written there."""
        super().before_train(runner)
        self._check_accumulation(runner)
        if is_main_process():
            for name in ('*.pth', 'last_checkpoint'):
                for leftover in Path(self.out_dir).glob(f'{name}.*.tmp'):
                    leftover.unlink()

    def _check_accumulation(self, runner) -> None:
        counts = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        moments = dict(interval=self.interval, save_begin=self.save_begin)
        if self.save_best and runner.val_loop is not None:
            moments['val_interval'] = runner.train_loop.val_interval
        for name, value in moments.items():
            if not self.by_epoch and self.interval > 0 and value % counts:
                raise ValueError(
                    f'SafeCheckpointHook: {name}={value} is no multiple of accumulative_counts={counts}, so that a '
                    'checkpoint would lose the gradients gathered since the last optimizer step: make it one'
                )

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """See whether the optimizer can go on, before torch tries."""
        optimizer = getattr(runner.optim_wrapper, 'optimizer', None)
        saved = checkpoint.get('optimizer', {}).get('param_groups')
        if not (runner._resume and saved and isinstance(optimizer, Optimizer)):
            return
        before, now = ([len(group['params']) for group in groups] for groups in (saved, optimizer.param_groups))
        unknown = sorted(_numbers(optimizer.param_groups[0]) - _numbers(saved[0]))
        if before != now or unknown:
            was, is_now = (f'{sum(sizes)} weights in {len(sizes)} groups' for sizes in (before, now))
            differs = f'lacks {", ".join(unknown)}' if unknown else f'has {was}, and that of this config {is_now}'
            raise ValueError(
                f'the checkpoint cannot be resumed, since its optimizer {differs}: resume with the method, network and '
                'optim_wrapper that it was trained with; to start anew from its weights, set load_from without --resume'
            )

    @contextmanager
    def _removing_last(self) -> Iterator[None]:
        backend, outdated = self.file_backend, []
        self.file_backend = _Deferred(backend, self.out_dir, outdated)
        try:
            yield
        finally:
            self.file_backend = backend
        for path in outdated:
            backend.remove(path)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        with self._removing_last():
            super()._save_best_checkpoint(runner, metrics)

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        outdated = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            outdated = list(self.keep_ckpt_ids)[: max(0, len(self.keep_ckpt_ids) + 1 - self.max_keep_ckpts)]
            # The checkpoint lists the outdated ones too, so that a resumed run removes what a killed one could not.
            runner.message_hub.update_info('keep_ckpt_ids', [*self.keep_ckpt_ids, step])
            self.keep_ckpt_ids.append(step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            file_client_args=self.file_client_args,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            AtomicLocalBackend().put_text(self.last_ckpt, osp.join(runner.work_dir, 'last_checkpoint'))
            for old in outdated:
                path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)


def _numbers(group: dict) -> set[str]:
    """Name the settings of a parameter group that optimizers differ in; switches come and go with versions of torch."""
    return {key for key, value in group.items() if key != 'params' and not isinstance(value, (bool, type(None)))}


class _Deferred:
    """A file backend that knows the files of one folder alone, and notes what to remove."""

    def __init__(self, backend, folder: str, outdated: list[str]) -> None:
        self._backend, self._folder, self._outdated = backend, folder.rstrip('/'), outdated

    def isfile(self, path: str) -> bool:
        return osp.dirname(path) == self._folder and self._backend.isfile(path)

    def remove(self, path: str) -> None:
        self._outdated.append(path)

    def __getattr__(self, name: str):
        return getattr(self._backend, name)
