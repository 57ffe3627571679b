"""The training step of StyleGAN2-ADA and all state that it needs to go on.

One step: generator, path length (every `g_reg_interval` steps), discriminator, R1 (every `d_reg_interval`), then the
average of the weights and the augmentation strength. Each phase draws its own latents and augmentations.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stylegan2_ada import losses, ops
from stylegan2_ada.ada import AdaController
from stylegan2_ada.augment import augment_randomly
from stylegan2_ada.averages import PowerAverages
from stylegan2_ada.config import TrainingConfig
from stylegan2_ada.convolution import differentiable_twice
from stylegan2_ada.data import DataOrder, within_reach
from stylegan2_ada.finite_steps import FiniteSteps
from stylegan2_ada.networks import Networks, freezable_layers
from stylegan2_ada.optimizers import Optimizer, load_optimizer, optimizer_of, set_lr
from stylegan2_ada.projected import ProjectedDiscriminator
from stylegan2_ada.ranks import Dice, Ranks
from stylegan2_ada.singular import decomposed_layers

W_AVG_DECAY = 0.995
PHASES = ("generator", "path length", "discriminator", "R1")
LOOK_EVERY_STEPS = 16  # for steps that a GPU left out


def _as_it_is(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return function


def _train_decomposed_alone(*networks: nn.Module) -> None:
    """Freeze all but the layers whose singular values are trained, of what is not frozen already."""
    for network in networks:
        decomposed = {id(weight) for _, weight in decomposed_layers(network)}
        for parameter in network.parameters():
            if id(parameter) not in decomposed:
                parameter.requires_grad_(False)


class Trainer:
    """Train networks on images that live on the device.

    Args:
        networks: what to train.
        config: how.
        images: uint8 [N, C, S, S]; they stay on the device when they fit.
        labels: one-hot float32 [N, c_dim], None for unconditional networks.
        seed: of data order, latents, noise and augmentation.
        device: where everything lives.
        ranks: this process's place among those that train together, each with the same arguments otherwise.
        dtype: of the convolutions above 4 x 4; parameters and everything else stay in float32.
        compiled: whether `torch.compile` fuses the networks of the two main phases. The regularisers are differentiated
            twice, which it cannot do, and stay as they are; so does a projected discriminator.

    Raises ValueError: the batch cannot be dealt out to the ranks in whole groups.
    """

    def __init__(
        self,
        networks: Networks,
        config: TrainingConfig,
        images: Tensor,
        labels: Tensor | None,
        *,
        seed: int,
        device: torch.device,
        ranks: Ranks | None = None,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        self.config, self.device, self.dtype, self.seed = config, device, dtype, seed
        ops.kernel_works(device)  # found out before anything is compiled
        self._losses = losses.LOSSES[config.loss]
        self.ranks = ranks or Ranks()
        self.group_size = min(networks.D.config.mbstd_group_size, config.batch)
        self.ranks.share(torch.empty(config.batch), self.group_size)  # refuses a batch that does not deal out
        networks = networks.to(device)
        self.G_ema, self.G, self.D = networks.G_ema, networks.G, networks.D
        self.images = within_reach(images, device)
        self.labels = None if labels is None else labels.to(device)
        fused = functools.partial(torch.compile, dynamic=False) if compiled else _as_it_is
        self._render = fused(self.G.synthesis.render)
        self._score = self.D.forward if isinstance(self.D, ProjectedDiscriminator) else fused(self.D.forward)
        for layer in freezable_layers(self.D)[: config.freeze_d]:
            layer.requires_grad_(False)
        if config.singular:
            _train_decomposed_alone(self.G, self.D)
        self.G_parameters = [p for p in self.G.parameters() if p.requires_grad]
        self.D_parameters = [p for p in self.D.parameters() if p.requires_grad]
        self.G_optimizer = optimizer_of(self.G, config.lr, config.g_reg_interval, singular=config.singular)
        self.D_optimizer = optimizer_of(self.D, config.lr, config.d_reg_interval, singular=config.singular)
        self.power_averages = PowerAverages(self.G)
        self.ada = AdaController(config.target, config.ada_kimg, p=config.initial_p, max_p=config.max_p)
        self.signs = torch.zeros([], device=device)  # of this rank's real logits since ADA's last update
        self.pl_mean = torch.zeros([], device=device)
        self.order = DataOrder(len(images), seed)
        self.generator = torch.Generator(device).manual_seed(seed)
        # Parameters of augmentations are drawn and composed on the host: they are small, and a GPU would make it wait.
        self.host_generator = self.generator if device.type == "cpu" else torch.Generator().manual_seed(seed)
        self.finite_steps = FiniteSteps(PHASES, device)
        self.step = 0
        self.cur_nimg = 0

    def set_lr(self, lr: float) -> None:
        """Train on with another learning rate."""
        set_lr(self.G_optimizer, lr, self.config.g_reg_interval)
        set_lr(self.D_optimizer, lr, self.config.d_reg_interval)

    def train_step(self) -> dict[str, Tensor]:
        """Take one step and return its losses, each a scalar on the device (regularisers only when they ran)."""
        config = self.config
        whole = self.order.take(config.batch)
        index = self.ranks.share(whole, self.group_size)
        real = self._real(index)
        c = None if self.labels is None else self.labels[index.to(self.device)]

        stats = {"loss_G": self._generator_phase(c)}
        if config.pl_weight > 0 and self.step % config.g_reg_interval == 0:
            stats |= self._path_length_phase(whole)
        stats["loss_D"] = self._discriminator_phase(real, c)
        if config.gamma > 0 and self.step % config.d_reg_interval == 0:
            stats["r1"] = self._r1_phase(real, c)

        self.step += 1
        self.cur_nimg += config.batch
        self._average_weights()
        if config.augpipe not in ("none", "diffaug") and self.step % config.ada_interval == 0:
            self.ada.observe(float(self.ranks.sum(self.signs)), config.batch * config.ada_interval)
            self.signs.zero_()
            self.ada.update(config.batch * config.ada_interval)
        if self.device.type == "cpu" or self.step % LOOK_EVERY_STEPS == 0:
            self.finite_steps.check(self.cur_nimg / 1000)
        return stats

    def _real(self, index: Tensor) -> Tensor:
        """Return the pictures `index`, float32 [N, C, S, S] in [-1, 1]; the step does not wait for their transfer."""
        pictures = self.images[index.to(self.images.device)]
        if pictures.device.type != self.device.type:
            pictures = pictures.pin_memory().to(self.device, non_blocking=True)
        return pictures.to(torch.float32) / 127.5 - 1

    def _generator_phase(self, c: Tensor | None) -> Tensor:
        self._train_only(self.G_parameters, self.D_parameters)
        dice = self._dice(self.group_size)
        fake = self._draw(self._styles(self.config.batch // self.ranks.count, c, dice), dice)
        loss = self._losses.generator(self._logits(fake, c))
        return self._optimize(self.G_optimizer, self.G_parameters, loss, "generator")

    def _path_length_phase(self, index: Tensor) -> dict[str, Tensor]:
        """`index` [batch] are the whole batch's images, whose labels a conditional network is drawn for."""
        self._train_only(self.G_parameters, self.D_parameters)
        dice = self._dice()
        batch = max(self.config.batch // self.ranks.count // self.config.pl_batch_shrink, 1)
        c = None if self.labels is None else self.labels[self.ranks.share(index[: batch * self.ranks.count])]
        ws = self._styles(batch, c, dice)
        if not ws.requires_grad:  # a mapping network that is not trained; the path starts at ws all the same
            ws.requires_grad_(True)
        with differentiable_twice():
            fake: Tensor = self.G.synthesis(ws, noise_mode=self.config.noise, generators=dice, dtype=self.dtype)
        lengths = losses.path_lengths(fake, ws, dice.normal(*fake.shape))
        mean = self.ranks.mean(lengths.mean())
        penalty, pl_mean = losses.path_length_penalty(lengths, mean, self.pl_mean, self.config.pl_decay)
        self.pl_mean = torch.where(pl_mean.isfinite(), pl_mean, self.pl_mean)  # one bad batch must not stay in it
        loss = penalty * (self.config.pl_weight * self.config.g_reg_interval)  # lazy: as if it ran every step
        self._optimize(self.G_optimizer, self.G_parameters, loss, "path length")
        return {"path_length": mean.detach(), "path_length_penalty": self.ranks.mean(penalty.detach())}

    def _discriminator_phase(self, real: Tensor, c: Tensor | None) -> Tensor:
        self._train_only(self.D_parameters, self.G_parameters)
        dice = self._dice(self.group_size)
        with torch.no_grad():
            fake = self._draw(self._styles(len(real), c, dice), dice)
        logits_fake = self._logits(fake, c)
        logits_real = self._logits(real, c)
        self.signs += logits_real.detach().sign().mean(dim=1).sum()
        loss = self._losses.discriminator_fake(logits_fake) + self._losses.discriminator_real(logits_real)
        return self._optimize(self.D_optimizer, self.D_parameters, loss, "discriminator")

    def _r1_phase(self, real: Tensor, c: Tensor | None) -> Tensor:
        self._train_only(self.D_parameters, self.G_parameters)
        real = real.detach().requires_grad_(True)
        with differentiable_twice():
            logits = self.D(self._augment(real), c, dtype=self.dtype)
        penalty = losses.r1_penalty(logits, real).mean()
        loss = penalty * (self.config.gamma / 2 * self.config.d_reg_interval)  # lazy: as if it ran every step
        self._optimize(self.D_optimizer, self.D_parameters, loss, "R1")
        return self.ranks.mean(penalty.detach())

    def _dice(self, group_size: int = 1) -> Dice:
        return Dice(self.generator, self.device, self.ranks, group_size)

    def _styles(self, batch: int, c: Tensor | None, dice: Dice) -> Tensor:
        """Return ws [batch, num_ws, w_dim] of new latents, mixed at a random layer with probability `style_mixing`."""
        w: Tensor = self.G.mapping(dice.normal(batch, self.G.z_dim), c)
        with torch.no_grad():
            self.G.mapping.w_avg.copy_(self.ranks.mean(w.mean(dim=0)).lerp(self.G.mapping.w_avg, W_AVG_DECAY))
        ws = w[:, None].expand(-1, self.G.num_ws, -1)
        if self.config.style_mixing <= 0 or self._uniform() >= self.config.style_mixing:
            return ws
        crossover = 1 + int(self._uniform() * (self.G.num_ws - 1))
        mixed = self.G.mapping(dice.normal(batch, self.G.z_dim), c)[:, None].expand(-1, self.G.num_ws - crossover, -1)
        return torch.cat([ws[:, :crossover], mixed], dim=1)

    def _uniform(self) -> float:
        # On the CPU generator: a decision of the host must not wait for the device.
        return float(torch.rand([], generator=self.order.generator))

    def _draw(self, ws: Tensor, dice: Dice) -> Tensor:
        # Contiguous, mixed or not: for another layout a compiled generator would be compiled once more.
        picture: Tensor = self._render(
            ws.contiguous(), self.G.synthesis.noise(len(ws), self.config.noise, dice), self.dtype
        )
        return picture

    def _logits(self, pictures: Tensor, c: Tensor | None) -> Tensor:
        """Score augmented pictures [N, 3, S, S]: [N, L], of one logit or several an image."""
        logits: Tensor = self._score(self._augment(pictures), c, dtype=self.dtype)
        return logits

    def _augment(self, pictures: Tensor) -> Tensor:
        dice = Dice(self.host_generator, torch.device("cpu"), self.ranks, self.group_size)
        return augment_randomly(pictures, self.config.augpipe, self.ada.p, dice, self._dice(self.group_size))

    @staticmethod
    def _train_only(on: Iterable[nn.Parameter], off: Iterable[nn.Parameter]) -> None:
        for parameter in on:
            parameter.requires_grad_(True)
        for parameter in off:
            parameter.requires_grad_(False)

    def _optimize(self, optimizer: Optimizer, parameters: list[nn.Parameter], loss: Tensor, phase: str) -> Tensor:
        """Step on `loss`, if all gradients are finite; return the loss, its mean over all ranks."""
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        mean = self.ranks.average(loss, parameters)
        self.finite_steps.take(optimizer, [p.grad for p in parameters if p.grad is not None], phase)
        return mean

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Exponential moving average of the generator with a half-life of `ema_kimg`, shorter at the start."""
        half_life = self.config.ema_kimg * 1000
        if self.config.ema_rampup is not None:
            half_life = min(half_life, self.cur_nimg * self.config.ema_rampup)
        beta = 0.5 ** (self.config.batch / max(half_life, 1e-8))
        torch._foreach_lerp_(list(self.G_ema.parameters()), list(self.G.parameters()), 1 - beta)
        for copied, current in zip(self.G_ema.buffers(), self.G.buffers(), strict=True):
            copied.copy_(current)
        self.power_averages.update(self.G)

    def reseed(self, seed: int) -> None:
        """Go on with other random numbers."""
        for generator in (self.generator, self.host_generator, self.order.generator):
            generator.manual_seed(seed)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on: tensors, numbers and dictionaries of them."""
        self.finite_steps.look()
        return {
            "G_ema": self.G_ema.state_dict(),
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "G_optimizer": self.G_optimizer.state_dict(),
            "D_optimizer": self.D_optimizer.state_dict(),
            "power_averages": self.power_averages.state_dict(),
            "ada": dataclasses.asdict(self.ada),
            "signs": self.ranks.sum(self.signs),
            "pl_mean": self.pl_mean,
            "order_generator": self.order.generator.get_state(),
            "order_waiting": self.order.waiting,
            "generator": self.generator.get_state(),
            "host_generator": self.host_generator.get_state(),
            "step": self.step,
            "cur_nimg": self.cur_nimg,
            "bad_steps": self.finite_steps.total,
            "bad_steps_in_a_row": self.finite_steps.in_a_row,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` gave, on this trainer's device."""
        for name in ("G_ema", "G", "D", "power_averages"):
            getattr(self, name).load_state_dict(state[name])
        load_optimizer(self.G_optimizer, state["G_optimizer"])
        load_optimizer(self.D_optimizer, state["D_optimizer"])
        self.ada = AdaController(**state["ada"])
        # The sum over all ranks goes on where one rank has it.
        self.signs = state["signs"].to(self.device) * (self.ranks.rank == 0)
        self.pl_mean = state["pl_mean"].to(self.device)
        self.order.generator.set_state(state["order_generator"].cpu())
        self.order.waiting = state["order_waiting"].cpu()
        self.generator.set_state(state["generator"].cpu())
        if "host_generator" in state:
            self.host_generator.set_state(state["host_generator"].cpu())
        elif self.host_generator is not self.generator:  # a GPU's state from before the host drew anything
            self.host_generator.manual_seed(self.seed + state["step"])
        self.step, self.cur_nimg = state["step"], state["cur_nimg"]
        self.finite_steps.load(state["bad_steps"], state["bad_steps_in_a_row"])
