"""StyleGAN2-ADA in plain PyTorch, written from the papers (arXiv:1912.04958, arXiv:2006.06676)."""

from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig, ProjectedConfig, TrainingConfig, resolve
from stylegan2_ada.discriminator import Discriminator
from stylegan2_ada.errors import NetworkFileError
from stylegan2_ada.finite_steps import TrainingDivergedError
from stylegan2_ada.generator import Generator
from stylegan2_ada.network_file import load_networks, network_bytes, read_header
from stylegan2_ada.networks import AnyDiscriminator, Networks
from stylegan2_ada.projected import ProjectedDiscriminator
from stylegan2_ada.ranks import Dice, Ranks
from stylegan2_ada.trainer import Trainer

__all__ = [
    "AnyDiscriminator",
    "Dice",
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "NetworkFileError",
    "Networks",
    "ProjectedConfig",
    "ProjectedDiscriminator",
    "Ranks",
    "Trainer",
    "TrainingConfig",
    "TrainingDivergedError",
    "load_networks",
    "network_bytes",
    "read_header",
    "resolve",
]
