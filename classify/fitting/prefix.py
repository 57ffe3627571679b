"""A backbone cut in two: what is frozen and comes first, and what trains and whatever follows it.

The first part gives the same for an image in every epoch, so it runs once. The cut follows the network's graph
(torch.fx): behind it is each operation that depends on a parameter that trains.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from classify.models import Classifier


@dataclass(frozen=True, eq=False)
class Cut:
    """A backbone in two parts that share its modules.

    Attributes:
        first: maps prepared images float32 [N, 3, S, S] to features [N, D] float32, of all that crosses the cut.
        rest: maps those features to the backbone's output.
        width: D.
        description: what of the backbone the first part is, for names of stored features.
    """

    first: Callable[[Tensor], Tensor]
    rest: Callable[[Tensor], Tensor]
    width: int
    description: str


class Tracer(fx.Tracer):
    """Leaves modules that own parameters whole, so that each keeps its mode and no code of theirs is looked into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Tell whether a module stays whole."""
        return super().is_leaf_module(m, module_qualified_name) or any(True for _ in m.parameters(recurse=False))


def cut(classifier: Classifier) -> Cut | None:
    """Return the backbone of `classifier` cut in front of what trains; None when nothing can be kept.

    That is when its first layers train, or when its graph depends on the images.
    """
    backbone = classifier.backbone
    if classifier.is_frozen:
        with torch.inference_mode():
            width = classifier.features(_blank(classifier)).shape[1]
        return Cut(backbone, _unchanged, width, "all")
    mode = backbone.training
    try:
        graph = Tracer().trace(backbone.eval(), defaults(backbone))
    except Exception:  # noqa: BLE001 - networks whose course depends on values raise all kinds
        return None
    finally:
        backbone.train(mode)
        classifier.train(classifier.training)
    crossing, behind = _divide(graph, backbone)
    if not crossing:
        return None
    first = fx.GraphModule(backbone, _first_graph(graph, crossing, behind))
    rest = fx.GraphModule(backbone, _rest_graph(graph, crossing, behind))
    blank = _blank(classifier)
    with torch.inference_mode():
        found = first(classifier.prepare(blank))
    if not all(isinstance(each, Tensor) and each.is_floating_point() and len(each) == len(blank) for each in found):
        return None
    shapes = [tuple(each.shape[1:]) for each in found]
    return Cut(
        lambda x: torch.cat([each.flatten(1) for each in first(x)], 1),
        lambda x: rest(*_unflattened(x, shapes)),
        sum(map(math.prod, shapes)),
        " ".join(node.name for node in crossing),
    )


def _blank(classifier: Classifier) -> Tensor:
    """Return two images, so that what has one row an image is told from what has one row."""
    size = classifier.image_size
    return torch.zeros(2, size, size, 3, dtype=torch.uint8, device=classifier.mean.device)


def defaults(backbone: nn.Module) -> dict[str, Any]:
    """Return what a backbone takes beside images, all of it left out here (a mask of attention is None)."""
    taken = inspect.signature(backbone.forward).parameters.values()
    return {each.name: each.default for each in taken if each.default is not each.empty}


def _unchanged(x: Tensor) -> Tensor:
    return x


def _unflattened(x: Tensor, shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """Return features [N, D] in the shapes in which they crossed the cut, feature maps channels-last."""
    pieces: Sequence[Tensor] = torch.split(x, [math.prod(shape) for shape in shapes], 1)
    return [
        piece.reshape(len(piece), *shape).contiguous(
            memory_format=torch.channels_last if len(shape) == 3 else torch.contiguous_format
        )
        for piece, shape in zip(pieces, shapes, strict=True)
    ]


def _divide(graph: fx.Graph, backbone: nn.Module) -> tuple[list[fx.Node], set[fx.Node]]:
    """Return the nodes whose values cross the cut, and all nodes behind it."""
    behind: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "output" or _trains(node, backbone) or any(each in behind for each in node.all_input_nodes):
            behind.add(node)
    crossing = [
        node
        for node in graph.nodes
        if node not in behind and node.op not in ("get_attr", "placeholder") and any(u in behind for u in node.users)
    ]
    raw = any(node.op == "placeholder" and any(u in behind for u in node.users) for node in graph.nodes)
    return ([] if raw else crossing), behind


def _trains(node: fx.Node, backbone: nn.Module) -> bool:
    if node.op == "call_module":
        return any(p.requires_grad for p in backbone.get_submodule(str(node.target)).parameters())
    if node.op == "get_attr":
        value: object = backbone
        for name in str(node.target).split("."):
            value = getattr(value, name)
        return isinstance(value, nn.Parameter) and value.requires_grad
    return False


def _first_graph(graph: fx.Graph, crossing: list[fx.Node], behind: set[fx.Node]) -> fx.Graph:
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        if node not in behind:
            copies[node] = part.node_copy(node, lambda each: copies[each])
    part.output(tuple(copies[node] for node in crossing))
    return part


def _rest_graph(graph: fx.Graph, crossing: list[fx.Node], behind: set[fx.Node]) -> fx.Graph:
    part = fx.Graph()
    copies = {node: part.placeholder(node.name) for node in crossing}
    for node in graph.nodes:
        if node in behind or node.op == "get_attr":
            copies[node] = part.node_copy(node, lambda each: copies[each])
    return part
