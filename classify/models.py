"""A classifier: preprocessing, backbone and head in one module that takes the pixels as they are stored."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classify.backbones import MAX_CUSTOM_DEPTH, largest_depth
from classify.registry import MAX_IMAGE_SIZE, TIMM_PREFIX, ModelSpec, Rgb, find_model
from shared.errors import UserError
from shared.weights import WeightSource

CLASSES = 2
MAX_HEAD_LAYERS, MAX_HEAD_WIDTH = 4, 8192


class Classifier(nn.Module):
    """Maps uint8 [N, S, S, 3] RGB, of any S, to logits [N, 2] (negative, positive).

    What is frozen stays in eval mode while the rest trains: batch statistics of a frozen layer do not move, and there
    is no dropout inside a backbone.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: nn.Module, head: nn.Module, *, image_size: int, mean: Rgb, std: Rgb) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.image_size = image_size
        self.register_buffer("mean", _pixel_scale(mean), persistent=False)
        self.register_buffer("std", _pixel_scale(std), persistent=False)

    def prepare(self, images: Tensor) -> Tensor:
        """Return what the backbone takes: float32 [N, 3, image_size, image_size], resized (antialiased) if need be."""
        x = images.permute(0, 3, 1, 2).float()  # NHWC in memory is NCHW channels-last
        if x.shape[-2:] != (self.image_size, self.image_size):
            x = F.interpolate(x, size=(self.image_size, self.image_size), mode="bilinear", antialias=True)
        return ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def features(self, images: Tensor) -> Tensor:
        """Return the backbone's features [N, D] of uint8 [N, S, S, 3]."""
        return cast(Tensor, self.backbone(self.prepare(images)))

    def last_hidden(self, images: Tensor) -> Tensor:
        """Return what the last layer sees, [N, D], of uint8 [N, S, S, 3]: the classifier's own features."""
        x = self.features(images)
        for layer in list(self.head.children())[:-1]:
            x = layer(x)
        return x

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, 2] of uint8 [N, S, S, 3]."""
        return cast(Tensor, self.head(self.features(images)))

    def train(self, mode: bool = True) -> "Classifier":
        """Set the mode of the head and of those backbone modules that train; all others are in eval mode."""
        super().train(mode)
        self.backbone.eval()
        for module in parameter_modules(self.backbone):
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
                module.training = mode
        return self

    @property
    def is_frozen(self) -> bool:
        """Whether the head alone trains, so that features can be computed once."""
        return not any(parameter.requires_grad for parameter in self.backbone.parameters())


def _pixel_scale(values: Rgb) -> Tensor:
    return (torch.tensor(values, dtype=torch.float64) * 255).float().view(1, 3, 1, 1)


def build_model(
    name: str,
    *,
    image_size: int | None = None,
    weights: WeightSource | None = None,
    depth: int | None = None,
    head: tuple[int, ...] | None = None,
    dropout: float | None = None,
) -> Classifier:
    """Build the classifier `name` (a row of the registry, or `timm:NAME`), its backbone frozen as the row says.

    `image_size` is the side of the network's input in px, `depth` the number of convolutions of the custom CNN, `head`
    the widths of the hidden layers behind the backbone, `dropout` what each of them drops (default of all: the row's).
    With `weights`, the backbone starts from the ImageNet weights found there, otherwise from random ones; the custom
    CNN and all heads start random, from torch's global generator.

    Raises `UserError`: no such model, an image size, depth or head that it cannot have, or weights that are not to be
    had.
    """
    spec = find_model(name)
    depth = resolve_depth(spec, depth)
    size = resolve_image_size(spec, image_size, depth)
    hidden, dropped = resolve_head(spec, head, dropout)
    backbone, width = spec.build(size, depth)
    if weights is not None and spec.pretrained is not None:
        load_backbone(backbone, spec, weights)
    classifier = Classifier(backbone, build_head(width, hidden, dropped), image_size=size, mean=spec.mean, std=spec.std)
    set_trainable(classifier, spec.unfreeze, name=name)
    if name.startswith(TIMM_PREFIX):
        _require_fit(classifier, name)
    channels_last(classifier)
    return classifier


def channels_last(network: nn.Module) -> None:
    """Lay out images' and convolutions' tensors with the channels last, which is faster on most machines.

    Those of five dimensions, which some networks have, stay (torch's own `to` refuses them).
    """
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)


def _require_fit(classifier: Classifier, name: str) -> None:
    """Raise `UserError` when a network that nobody tried here does not map one blank image to two logits."""
    size = classifier.image_size
    image = torch.zeros(1, size, size, 3, dtype=torch.uint8, device=classifier.mean.device)
    try:
        with torch.inference_mode():
            logits = classifier.eval()(image)
        assert logits.shape == (1, CLASSES), f"it returns {tuple(logits.shape)}"
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = str(error).split("\n", 1)[0] or type(error).__name__
        raise UserError(
            f"--model {name}: cannot be used at {size} px ({reason}); leave --image-size out, or give another network."
        ) from error


def resolve_depth(spec: ModelSpec, depth: int | None) -> int | None:
    """Return the number of convolutions; raise `UserError` when it is not free to choose, or out of range."""
    if depth is None:
        return spec.depth
    if spec.depth is None:
        raise UserError(f"--depth {depth}: {spec.name} has the layers that it has; leave it out, or give custom_cnn.")
    if not 1 <= depth <= MAX_CUSTOM_DEPTH:
        raise UserError(f"--depth {depth}: out of range; give 1 to {MAX_CUSTOM_DEPTH} convolutions.")
    return depth


def resolve_image_size(
    spec: ModelSpec, image_size: int | None, depth: int | None = None, *, whose: str | None = None
) -> int:
    """Return the side of the network's input in px; raise `UserError` when the network cannot take it.

    `whose` names the file whose images have the size `image_size`, where nobody asked for it.
    """
    size = spec.image_size if image_size is None else image_size
    if size is None:
        raise UserError(f"--image-size: {spec.name} has no size of its own; give the side of its input in px.")
    step = 1 if depth is None else 2 ** (depth - 1)
    smallest = max(spec.min_image_size, step)
    if size % step or not smallest <= size <= MAX_IMAGE_SIZE:
        multiple = f"a multiple of {step} " if step > 1 else ""
        is_too_deep = depth is not None and spec.min_image_size <= size <= MAX_IMAGE_SIZE
        fewer = f", or --depth {largest_depth(size)} or less" if is_too_deep else ""
        wrong = f"--image-size {size}: {spec.name} cannot take it; give"
        if whose is not None:
            wrong = f"{whose}: its images have {size} px, which {spec.name} cannot take; give other images, or "
            wrong += "--image-size (image_size in a preset),"
        raise UserError(f"{wrong} {multiple}from {smallest} to {MAX_IMAGE_SIZE} px{fewer}.")
    return size


def resolve_head(spec: ModelSpec, head: tuple[int, ...] | None, dropout: float | None) -> tuple[tuple[int, ...], float]:
    """Return the widths of a head's hidden layers and their dropout; raise `UserError` when one is out of range."""
    hidden, dropped = spec.head if head is None else head, spec.dropout if dropout is None else dropout
    if len(hidden) > MAX_HEAD_LAYERS or not all(1 <= width <= MAX_HEAD_WIDTH for width in hidden):
        shown = ",".join(map(str, hidden))
        raise UserError(
            f"--head {shown}: no such head; give at most {MAX_HEAD_LAYERS} widths from 1 to {MAX_HEAD_WIDTH}, such as "
            "512,256, or none."
        )
    if not 0 <= dropped < 1:
        raise UserError(f"--dropout {dropped:g}: not a share; give 0 or more, and less than 1.")
    return hidden, dropped


def build_head(features: int, hidden: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Build fully connected layers from `features` over `hidden` to two logits, with ReLU and dropout between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(dropout)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, CLASSES))


def load_backbone(backbone: nn.Module, spec: ModelSpec, weights: WeightSource) -> None:
    """Load the ImageNet weights of `spec` into `backbone`; tensors of the original head are passed over.

    Raises `UserError`: the weights cannot be had, or belong to another network.
    """
    assert spec.pretrained is not None
    found = spec.pretrained.read(weights)
    wanted = backbone.state_dict()
    unfit = [name for name, value in wanted.items() if name not in found or found[name].shape != value.shape]
    if unfit:
        raise UserError(
            f"--weights: the file found for {spec.name} lacks {unfit[0]}, so it belongs to another network; give the "
            "folder that holds the right one."
        )
    backbone.load_state_dict({name: found[name] for name in wanted})


def parameter_modules(backbone: nn.Module) -> list[nn.Module]:
    """Return the modules that own parameters, in registration order: what `--unfreeze` counts, from the end."""
    return [module for module in backbone.modules() if any(True for _ in module.parameters(recurse=False))]


def set_trainable(classifier: Classifier, unfreeze: int | None, *, name: str) -> None:
    """Let the last `unfreeze` parameter modules of the backbone train (None: all), and the head always.

    What is frozen is in eval mode from then on, also in a network that was just built.

    Raises `UserError`: the backbone `name` has fewer modules.
    """
    modules = parameter_modules(classifier.backbone)
    count = len(modules) if unfreeze is None else unfreeze
    if not 0 <= count <= len(modules):
        raise UserError(
            f"--unfreeze {count}: {name} has {len(modules)} modules with parameters; give 0 to {len(modules)}."
        )
    frozen = len(modules) - count
    for number, module in enumerate(modules):
        for parameter in module.parameters(recurse=False):
            parameter.requires_grad_(number >= frozen)
    classifier.train(classifier.training)


def trainable_state(classifier: Classifier) -> dict[str, Tensor]:
    """Return the parameters that train and the buffers beside them, by their names in the state: what a fit changes."""
    return dict(_trainable_tensors(classifier))


def _trainable_tensors(classifier: Classifier) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in classifier.named_modules():
        own = list(module.named_parameters(recurse=False))
        if any(parameter.requires_grad for _, parameter in own):
            for name, tensor in (*own, *module.named_buffers(recurse=False)):
                yield f"{prefix}.{name}", tensor.detach()


def count_parameters(classifier: Classifier) -> dict[str, int]:
    """Return the numbers of all parameters and of those that train."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in classifier.parameters()]
    return {"total": sum(size for size, _ in sizes), "trainable": sum(size for size, trains in sizes if trains)}
