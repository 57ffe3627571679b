"""Networks that `torch.compile` fuses take the same steps."""

import functools
from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.utils import counters

from stylegan2_ada import DiscriminatorConfig, GeneratorConfig, Networks, Trainer, TrainingConfig

# torch looks at it itself, and hides the warning in a way that does not work where warnings are errors
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

CONFIG = TrainingConfig(
    batch=4,
    gamma=0.05,
    lr=0.002,
    ema_kimg=0.1,
    initial_p=0.3,
    ada_kimg=1e9,
    style_mixing=0.5,  # so that both kinds of styles occur
    g_reg_interval=2,
    d_reg_interval=3,
)
STEPS = 6  # one cycle of both regularisers


def _trainer(*, compiled: bool) -> Trainer:
    G = GeneratorConfig(img_resolution=8, z_dim=8, w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)
    D = DiscriminatorConfig(img_resolution=8, channel_base=64, channel_max=8)
    pictures = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    networks = Networks.build(G, D, seed=0)
    return Trainer(networks, CONFIG, pictures, None, seed=1, device=torch.device("cpu"), compiled=compiled)


@pytest.fixture(autouse=True)
def _forget_compiled() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def _require_same_steps() -> None:
    plain, fused = _trainer(compiled=False), _trainer(compiled=True)
    for _ in range(STEPS):
        expected, losses = plain.train_step(), fused.train_step()
        assert losses.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(losses[name], value, rtol=1e-4, atol=1e-6)
    for name, tensor in plain.G_ema.state_dict().items():
        torch.testing.assert_close(fused.G_ema.state_dict()[name], tensor, rtol=1e-3, atol=1e-5)


def test_traced_networks_take_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing and differentiating ahead of time, without the compiler behind it; nothing is traced in pieces or anew.

    Graphs: the generator with and without gradients, the discriminator with and without those of its weights.
    """
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    _require_same_steps()
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 4


@pytest.mark.slow
def test_compiled_networks_take_the_same_steps() -> None:
    _require_same_steps()
