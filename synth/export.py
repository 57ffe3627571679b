"""Write any network that can be read as a network file of ours, with what it says of itself."""

from dataclasses import dataclass
from pathlib import Path

from shared.console import say
from shared.errors import UserError
from shared.files import require_new, whole_file
from shared.weights import WeightSource
from stylegan2_ada import NetworkFileError, load_networks, network_bytes
from synth.networks.provenance import find_network, licence_notice, read_provenance

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ExportOptions:
    """Options of `synth export`; `half` stores float16, `weights` and `offline` are about published networks."""

    network: str | Path
    out: Path
    half: bool = False
    force: bool = False
    weights: Path | None = None
    offline: bool = False


def export(options: ExportOptions) -> None:
    """Read the network and write it; its licence and all else that it says of itself go with it.

    Raises `UserError`: there is no such network, it is damaged, or the file exists.
    """
    if options.out.suffix.lower() != SUFFIX:
        raise UserError(f"--out {options.out}: a network is written as {SUFFIX}; give a name that ends so.")
    require_new(options.out, force=options.force, inputs=[options.network])
    path = find_network(options.network, WeightSource(options.weights, options.offline))
    about = read_provenance(path)
    try:
        content = network_bytes(load_networks(path), about, half=options.half)
    except NetworkFileError as error:
        raise UserError(str(error)) from error
    with whole_file(options.out) as part:
        part.write_bytes(content)
    notice = licence_notice(str(options.network), about.get("licence"))
    if notice is not None:
        say(notice)
    say(f"{options.out}: {len(content) / 1e6:.1f} MB, from {path}")
