"""Snapshots in NVIDIA's layout, pickled by Python itself from the reference networks: for what no golden file holds."""

import contextlib
import json
import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from reference import load_golden

BUFFERS = ("resample_filter", "noise_const", "w_avg")


def _reconstruct_persistent_obj(meta: Any) -> None:
    raise AssertionError("a pickle was run")


class EasyDict(dict):
    pass


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
EasyDict.__module__, EasyDict.__qualname__ = "dnnlib.util", "EasyDict"


@contextlib.contextmanager
def _nvidia_modules() -> Iterator[None]:
    """Let Python's pickler find NVIDIA's names."""
    persistence, util = types.ModuleType("torch_utils.persistence"), types.ModuleType("dnnlib.util")
    persistence.__dict__["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    util.__dict__["EasyDict"] = EasyDict
    found = {"torch_utils": types.ModuleType("torch_utils"), "dnnlib": types.ModuleType("dnnlib")}
    with mock.patch.dict(sys.modules, found | {"torch_utils.persistence": persistence, "dnnlib.util": util}):
        yield


def dump(root: Any, protocol: int = 4) -> bytes:
    with _nvidia_modules():
        return pickle.dumps(root, protocol)


class Call:
    """Pickled as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


class Module:
    """A module as NVIDIA's persistence pickles it; everything may be changed before it is pickled."""

    def __init__(self, class_name: str, **kwargs: Any) -> None:
        self.parameters: dict[str, Any] = {}
        self.buffers: dict[str, Any] = {}
        self.modules: dict[str, Module] = {}
        self.attributes: dict[str, Any] = {"_init_args": (), "_init_kwargs": EasyDict(kwargs), "training": False}
        self.meta: dict[str, Any] = {"type": "class", "version": 6, "module_src": "1/0", "class_name": class_name}

    @property
    def kwargs(self) -> dict[str, Any]:
        return self.attributes["_init_kwargs"]

    def at(self, path: str) -> "Module":
        """Return the module at a dotted path, made where there is none."""
        module = self
        for name in filter(None, path.split(".")):
            module = module.modules.setdefault(name, Module("Layer"))
        return module

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        state = self.attributes | {
            "_parameters": OrderedDict(self.parameters),
            "_buffers": OrderedDict(self.buffers),
            "_modules": OrderedDict(self.modules),
            "_non_persistent_buffers_set": set(),
            "weight_gain": np.float64(0.5),
            "table": np.arange(6, dtype=np.int32).reshape(2, 3),
            "device": torch.device("cpu"),
            "shape": torch.Size([1, 2]),
        }
        return _reconstruct_persistent_obj, (EasyDict(self.meta | {"state": state}),)


def _fill(root: Module, arrays: dict[str, np.ndarray], prefix: str, clamp: Any) -> Module:
    for name, value in arrays.items():
        if name.startswith(prefix):
            path, _, own = name.removeprefix(prefix).rpartition(".")
            module, tensor = root.at(path), torch.from_numpy(value)
            if own in BUFFERS:
                module.buffers[own] = tensor
            else:
                module.parameters[own] = torch.nn.Parameter(tensor)
            if own == "noise_strength":
                module.attributes |= {"use_noise": True, "activation": "lrelu", "conv_clamp": clamp}
    return root


def snapshot(name: str = "networks_cond2_r32") -> dict[str, Any]:
    """Return reference networks in the layout of a snapshot, G twice."""
    arrays = load_golden(name)
    config = json.loads(str(arrays["config"]))
    clamp = config["generator"]["synthesis_kwargs"]["conv_clamp"]
    networks = {}
    for key, shape, prefix in (("G", "generator", "G/"), ("D", "discriminator", "D/"), ("G_ema", "generator", "G/")):
        made_with = json.loads(json.dumps(config[shape]))  # a copy of its own
        networks[key] = _fill(Module(shape.capitalize(), **made_with), arrays, prefix, clamp)
    return {"training_set_kwargs": EasyDict(path="data.zip"), **networks, "augment_pipe": None}
