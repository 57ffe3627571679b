"""Where a classifier saw what it says: Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) without automatic gradients.

The map A [N, C, h, w] is the last one of more than one cell, before the plane is pooled or flattened away: what the
last convolutions made, with their norm and ReLU. Of what follows, the head above all, the gradient of the log-odds s of
the positive class has a closed form: it is pulled back layer by layer, by the same operations that any runtime has.
Then alpha_k = mean over i, j of ds / dA_kij, and the evidence is relu(sum_k alpha_k A_k). Where A is averaged and
nothing but fully connected layers with ReLU follow, it is exact: the cells before that last relu add up to what the
features add to s, so a cell's evidence is a share of log-odds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from classify.fitting.prefix import Tracer, defaults
from classify.models import Classifier

Pull = Callable[[Any, Tensor, Tensor, Tensor], Tensor]
"""From a layer, what it got [N, …], what it gave, and the gradient of s by that, to the gradient by what it got."""


class Split(nn.Module):
    """A classifier in two parts: `first` maps prepared images to the map A, `rest` maps A to logits [N, 2]."""

    def __init__(self, first: nn.Module, rest: Sequence[nn.Module]) -> None:
        super().__init__()
        self.first = first
        self.rest = nn.ModuleList(rest)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [N, 2] and evidence [N, h, w] of prepared images [N, 3, P, P]."""
        values = [self.first(x)]
        for layer in self.rest:
            values.append(layer(values[-1]))
        logits = values[-1]
        gradient = logits.new_tensor([-1.0, 1.0]).expand(logits.shape[0], 2)  # of s = logits[1] - logits[0]
        for layer, got, gave in reversed(list(zip(self.rest, values[:-1], values[1:], strict=True))):
            gradient = PULLS[type(layer)](layer, got, gave, gradient)
        alpha = gradient.mean((2, 3), keepdim=True)
        return logits, F.relu((alpha * values[0]).sum(1))


class GlobalMean(nn.Module):
    """Maps [N, C, h, w] to [N, C], the mean over the plane."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the means."""
        return x.mean((2, 3))


def _pull_linear(layer: Any, got: Tensor, gave: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG001
    pulled: Tensor = gradient @ layer.weight
    return pulled


def _pull_relu(layer: Any, got: Tensor, gave: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG001
    return torch.where(gave > 0, gradient, 0.0)


def _pull_mean(layer: Any, got: Tensor, gave: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG001
    height, width = got.shape[2:]
    return _spread(gradient, height, width)


def _pull_flatten(layer: Any, got: Tensor, gave: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG001
    return gradient.reshape(gradient.shape[0], *got.shape[1:])


def _pull_maximum(layer: Any, got: Tensor, gave: Tensor, gradient: Tensor) -> Tensor:  # noqa: ARG001
    """Spread evenly what goes to one cell of each window: the mean over the plane, which alone counts, is the same."""
    height, width = got.shape[2:]
    return _spread(gradient.sum((2, 3)), height, width)


def _spread(total: Tensor, height: int, width: int) -> Tensor:
    """Return [N, C, h, w] of equal cells that add up to `total` [N, C]."""
    return (total / (height * width))[:, :, None, None].expand(-1, -1, height, width)


PULLS: dict[type[nn.Module], Pull] = {
    nn.Linear: _pull_linear,
    nn.ReLU: _pull_relu,
    GlobalMean: _pull_mean,
    nn.MaxPool2d: _pull_maximum,
    nn.Flatten: _pull_flatten,
}


@dataclass(frozen=True)
class NoSplit:
    """Why a network has no evidence, as the end of a sentence."""

    reason: str


def split(classifier: Classifier) -> Split | NoSplit:
    """Return `classifier` (in eval mode, on the CPU) in two parts at its last map, or why it has none to show."""
    backbone = classifier.backbone
    try:
        graph = Tracer().trace(backbone, defaults(backbone))
        module = fx.GraphModule(backbone, graph)
        with torch.inference_mode():
            ShapeProp(module).propagate(torch.zeros(2, 3, classifier.image_size, classifier.image_size))
    except Exception:  # noqa: BLE001 - networks whose course depends on values raise all kinds
        return NoSplit("torch.fx cannot follow its backbone")
    (output,) = (each for each in graph.nodes if each.op == "output")
    rest = [layer for layer in classifier.head.children() if not isinstance(layer, nn.Dropout)]
    (node,) = output.all_input_nodes
    while not _is_plane(node) or _is_passed(node, module):
        layers = _layers(node, module)
        if layers is None or len(node.all_input_nodes) != 1 or len(node.all_input_nodes[0].users) != 1:
            return NoSplit(
                f"between its last map of more than one cell and its features stands {node.name}, and what is known is "
                "how pooling, flattening and fully connected layers pass a gradient on"
            )
        rest = [*layers, *rest]
        (node,) = node.all_input_nodes
        if layers and isinstance(layers[0], nn.MaxPool2d):
            break  # one is known to keep the mean of a gradient
    if not all(type(layer) in PULLS for layer in rest):
        return NoSplit("its head has other layers than fully connected ones with ReLU")
    return Split(fx.GraphModule(module, _up_to(graph, node)), rest)


def _is_plane(node: fx.Node) -> bool:
    """Tell whether a node's value is a map of more than one cell."""
    shape = _shape(node)
    return len(shape) == 4 and shape[2] * shape[3] > 1


def _is_passed(node: fx.Node, module: fx.GraphModule) -> bool:
    """Tell whether a map comes from a finer one by max pooling, or is the one before it, unchanged."""
    layers = _layers(node, module)
    return layers is not None and all(isinstance(layer, nn.MaxPool2d) for layer in layers)


def _shape(node: fx.Node) -> Sequence[int]:
    return getattr(node.meta.get("tensor_meta"), "shape", ())


def _layers(node: fx.Node, module: fx.GraphModule) -> list[nn.Module] | None:
    """Return a node that keeps no plane as layers of `PULLS`, none where it changes nothing; None if it is another."""
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        is_same = isinstance(layer, nn.AdaptiveAvgPool2d) and _shape(node) == _shape(node.all_input_nodes[0])
        return [] if is_same else _plain(layer, _is_plane(node))
    name = getattr(node.target, "__name__", str(node.target))
    if name == "dropout":
        return []
    if name == "flatten" and len(_shape(node)) == 2:
        return [nn.Flatten()]
    dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    if name == "mean" and isinstance(dims, Sequence) and {int(str(each)) % 4 for each in dims} == {2, 3}:
        return [GlobalMean()]
    return None


def _plain(layer: nn.Module, gives_plane: bool) -> list[nn.Module] | None:
    match layer:
        case nn.Dropout() | nn.Identity():
            return []
        case nn.ReLU():
            return [nn.ReLU()]  # what a layer got must not be overwritten
        case nn.AdaptiveAvgPool2d() if not gives_plane:
            return [GlobalMean()]
        case nn.Linear() | nn.MaxPool2d() | nn.Flatten(start_dim=1, end_dim=-1):
            return [layer]
    return None


def _up_to(graph: fx.Graph, last: fx.Node) -> fx.Graph:
    """Return the part of `graph` that ends with `last`."""
    part = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        copies[node] = part.node_copy(node, lambda each: copies[each])
        if node is last:
            break
    part.output(copies[last])
    return part
