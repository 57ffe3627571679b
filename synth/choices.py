"""Names of choices, for command lines and services that load no torch; what they stand for is where they are used."""

from typing import Literal, get_args

Rule = Literal["union", "intersection", "similarity", "discriminator", "typical-and-diverse"]

RULES: tuple[str, ...] = get_args(Rule)  # of `synth.selecting.selection`
TYPICAL = "typical-and-diverse"
METHODS = ("scratch", "transfer", "freeze-d", "svd", "projected")  # of `synth.training.methods`
QUALITY_SPACES = ("auto", "offline", "lite1", "inception", "dinov2", "dinov2-small")  # of `synth.scores.features`
SIMILARITY_SPACES = (
    "auto", "offline", "lite1", "inception", "vgg16", "vgg16-fc1", "vgg16-conv5", "dinov2", "dinov2-small",
)  # fmt: skip
MAX_TRUNCATION = 2.0  # |psi|
