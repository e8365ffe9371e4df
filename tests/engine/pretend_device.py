"""Train configs on a device that is none: ``pretend_device.py CONFIG...``

Its tensors are computed on the CPU, but as for those of a GPU, an operation that meets a tensor of the CPU fails.
"""

import sys

import torch
from mmengine.config import Config
from mmengine.device import utils
from mmengine.runner import Runner
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

aten = torch.ops.aten
# Kernels of GPUs that take tensors of the CPU too: copies, and indices.
MIXED = (aten.copy_, aten._to_copy, aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)


class Backend:
    """What torch asks of the module of a device."""

    is_initialized = is_available = staticmethod(lambda: True)
    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16])


_setup_privateuseone_for_python_backend('pretend', backend_module=Backend())
DEVICE = torch.device('pretend', 0)


class DeviceTensor(Tensor):
    """A tensor on the device, whose numbers are those of ``inner``."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> 'DeviceTensor':
        tensor = Tensor._make_wrapper_subclass(
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            device=DEVICE,
        )  # fmt: skip
        tensor.inner = inner
        return tensor

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ['inner'], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], *args) -> 'DeviceTensor':
        return DeviceTensor(inner['inner'])

    def tolist(self) -> list:
        return self.inner.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


class PretendDevice(TorchDispatchMode):
    """Let the device exist within."""

    def __enter__(self) -> 'PretendDevice':
        torch._C._set_only_lift_cpu_tensors(True)  # numbers and lists become tensors of the CPU first
        return super().__enter__()

    def __exit__(self, *args) -> None:
        torch._C._set_only_lift_cpu_tensors(False)
        super().__exit__(*args)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return compute(func, args, kwargs or {})


def compute(func, args: tuple, kwargs: dict):
    """Run an operation on the CPU, and say that its result lies where it would."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_device = [isinstance(tensor, DeviceTensor) for tensor in tensors]
    left = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor) and tensor.dim() > 0]
    if left and any(on_device) and func.overloadpacket not in MIXED:
        raise RuntimeError(f'{func}: tensors on the device and on the CPU, {[tuple(t.shape) for t in tensors]}')
    if kwargs.get('device') is not None:
        to_device = torch.device(kwargs['device']).type == DEVICE.type
        kwargs = {**kwargs, 'device': torch.device('cpu')}
    else:
        to_device = isinstance(args[0], DeviceTensor) if func.overloadpacket is aten.copy_ else any(on_device)
    inner = tree_map_only(DeviceTensor, lambda tensor: tensor.inner, (args, kwargs))
    out = func(*inner[0], **inner[1])
    if to_device:
        out = tree_map_only(Tensor, DeviceTensor, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if to_device and any(on_device) else out


def load(*args, load_on_cpu=torch.load, map_location=None, **kwargs):
    """Do what ``torch.load`` does for devices that have storages."""
    loaded = load_on_cpu(*args, map_location='cpu', **kwargs)
    return tree_map_only(Tensor, lambda tensor: tensor.to(DEVICE), loaded) if map_location == DEVICE.type else loaded


if __name__ == '__main__':
    utils.DEVICE, torch.load = DEVICE.type, load
    for path in sys.argv[1:]:
        with PretendDevice():
            runner = Runner.from_cfg(Config.fromfile(path))
            runner.train()
        assert all(isinstance(weight, DeviceTensor) for weight in runner.model.state_dict().values())
