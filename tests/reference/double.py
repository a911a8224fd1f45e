"""Runs transformers' own model code in double precision, also where it asks for float32 by name."""

import contextlib
import types
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class DoubleTorch(types.ModuleType):
    """The torch module with float32 spelled float64."""

    def __getattr__(self, name):
        return torch.float64 if name in ("float", "float32") else getattr(torch, name)


class RefuseFloat32(TorchDispatchMode):
    """Fails on any operation that yields something less precise than double."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.dtype != torch.float64:
                raise TypeError(f"{func} computed in {tensor.dtype}")
        return result


@contextlib.contextmanager
def double_precision(*modules):
    """Inside, the given transformers modules and Tensor.float() mean double."""
    with contextlib.ExitStack() as stack:
        for module in modules:
            stack.enter_context(mock.patch.object(module, "torch", DoubleTorch("torch")))
        stack.enter_context(mock.patch.object(torch.Tensor, "float", torch.Tensor.double))
        previous = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(previous)
