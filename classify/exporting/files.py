"""An exported classifier as files: ONNX for any runtime, and PyTorch's own archive (`torch.export`)."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from classify.exporting.graph import INPUT, ExportedClassifier
from shared.errors import UserError, with_extra

ONNX, ARCHIVE = ".onnx", ".pt2"
ABOUT = "rarescreen.json"  # what an archive tells of itself
PACKAGES = ("onnx", "onnxruntime", "onnxscript")  # what the extra installs
OPSET = 20

Properties = Mapping[str, str]


def require_packages(suffixes: tuple[str, ...]) -> None:
    """Raise `UserError` where files of these kinds need a package that is not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None] if ONNX in suffixes else []
    if missing:
        raise UserError(
            f"{missing[0]} is not installed, which ONNX files need; {with_extra('export')}, or "
            f"give an --out that ends in {ARCHIVE}."
        )


def trace(network: ExportedClassifier) -> ExportedProgram:
    """Return the graph of `network` for any number and any size of photographs."""
    size = network.squared.size
    # Sizes of which none is another's, and none is that of prepared images: each is free on its own.
    example = torch.zeros(2, size + 3, size + 5, 3, dtype=torch.uint8)
    free = {INPUT: dict.fromkeys(range(3), Dim.DYNAMIC)}
    with torch.no_grad():
        program = torch.export.export(network, (example,), dynamic_shapes=free)
    for part in program.graph_module.modules():  # branches are graphs of their own
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # it names folders of this machine
    return program


def write_archive(path: Path, program: ExportedProgram, about: Mapping[str, Any]) -> None:
    """Write `program` as an archive of `torch.export`, which `torch.export.load` reads, with `about` in it."""
    with path.open("wb") as stream:  # a path would have to end in .pt2
        torch.export.save(program, stream, extra_files={ABOUT: json.dumps(about, ensure_ascii=False)})


def write_onnx(path: Path, program: ExportedProgram, outputs: tuple[str, ...], properties: Properties) -> None:
    """Write `program` as an ONNX file with `properties` as its metadata."""
    import onnx_ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    found = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=[INPUT], output_names=list(outputs), opset_version=OPSET
    )
    assert found is not None
    model = found.model
    RemoveUnusedNodesPass()(model)  # of which onnxruntime would warn whoever loads it
    model.metadata_props.clear()
    model.metadata_props.update(properties)
    model.graph.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()  # where in which file of this machine it comes from
    batch, height, width = "N", "H", "W"
    for value in model.graph.inputs:
        value.shape = onnx_ir.Shape([batch, height, width, 3])
    onnx_ir.save(model, path)
