"""StyleGAN2-ADA in plain PyTorch, written from the papers (arXiv:1912.04958, arXiv:2006.06676)."""

from stylegan2_ada.config import DiscriminatorConfig, GeneratorConfig, TrainingConfig, resolve
from stylegan2_ada.discriminator import Discriminator
from stylegan2_ada.errors import NetworkFileError
from stylegan2_ada.generator import Generator
from stylegan2_ada.network_file import load_networks, network_bytes, read_header
from stylegan2_ada.networks import Networks
from stylegan2_ada.ranks import Dice, Ranks
from stylegan2_ada.trainer import Trainer, TrainingDivergedError

__all__ = [
    "Dice",
    "Discriminator",
    "DiscriminatorConfig",
    "Generator",
    "GeneratorConfig",
    "NetworkFileError",
    "Networks",
    "Ranks",
    "Trainer",
    "TrainingConfig",
    "TrainingDivergedError",
    "load_networks",
    "network_bytes",
    "read_header",
    "resolve",
]
