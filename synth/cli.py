"""The command line of `synth`. Stages are imported when a command runs, so that `--help` answers at once."""

from pathlib import Path
from typing import Any

import click

from shared import __version__
from shared.console import user_errors
from shared.errors import UserError

FOLDER = click.Path(file_okay=False, path_type=Path)
WEIGHTS = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
QUALITY_SPACES = ("auto", "offline", "lite1", "inception", "dinov2", "dinov2-small")
SIMILARITY_SPACES = ("auto", "offline", "lite1", "vgg16", "vgg16-fc1", "vgg16-conv5", "dinov2", "dinov2-small")


class Commands(click.Group):
    """A group whose errors are one sentence on standard error and exit code 2."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line, as `click.Group.main` does."""
        with user_errors():
            try:
                return super().main(*args, **extra | {"standalone_mode": False})
            except click.Abort as error:
                raise KeyboardInterrupt from error
            except click.ClickException as error:
                if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
                    click.echo(error.format_message(), err=True)
                    raise SystemExit(2) from error
                raise UserError(_sentence(error)) from error


def _sentence(error: click.ClickException) -> str:
    text = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "synth"
    return f"{text}; see `{command} --help`."


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="synth")
def cli() -> None:
    """Synthetic images of a rare disease, from a few hundred photographs."""


@cli.command()
@click.option("--positive", type=FOLDER, multiple=True, help="Folder with photographs of the rare disease.")
@click.option("--negative", type=FOLDER, multiple=True, help="Folder with photographs without it.")
@click.option("--external-negative", type=FOLDER, multiple=True, help="Negatives of another source, for testing only.")
@click.option("--phantom", is_flag=True, help="Render the embedded phantom cohort instead of reading photographs.")
@click.option("--size", type=int, default=64, help="Side of the prepared images in px.")
@click.option("--fit", type=click.Choice(["crop", "pad", "stretch"]), default="crop", help="How to make them square.")
@click.option("--folds", type=int, default=5, help="Parts for cross-validation.")
@click.option("--seed", type=int, default=0, help="Decides the folds.")
@click.option("--csv", type=FILE, help="Table with the columns file, group (patient or case) and any attributes.")
@click.option("--skip-bad", is_flag=True, help="Leave out files that cannot be used instead of stopping.")
@click.option("--out", type=FILE, required=True, help="Cohort file to write.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def prepare(**options: Any) -> None:
    """Turn folders of photographs into a cohort: checked, squared, grouped and split."""
    from synth.prepare import PrepareOptions
    from synth.prepare import prepare as run

    run(PrepareOptions(**options))


@cli.command()
@click.argument("cohort", type=FILE)
@click.option("--out", type=FOLDER, required=True, help="Folder of the run or grid; the same command goes on in it.")
@click.option("--gamma", multiple=True, help="Weight of R1; repeat for a grid.  [default: 0.1, or none]")
@click.option("--target", multiple=True, help="ADA's target; repeat for a grid.  [default: 0.6, or none]")
@click.option("--lr", multiple=True, help="Learning rate; repeat for a grid.  [default: 0.002]")
@click.option("--cells", help="Preset (demo, paper, paper-full) or TOML file with the cells of the grid.")
@click.option("--fold", help="Fold that stays unseen, or all.  [default: 0]")
@click.option("--protocol", type=click.Choice(["strict", "paper"]), help="What the GAN may see.  [default: strict]")
@click.option(
    "--label", type=click.Choice(["positive", "negative", "both"]), help="Class to draw.  [default: positive]"
)
@click.option("--cfg", help="auto, paper256, paper512, paper1024, cifar or tiny.  [default: auto]")
@click.option("--start", help="Network to adapt: a name (see `synth networks`), a file, or a run's folder.")
@click.option(
    "--accept-licence", is_flag=True, default=None, help="Start from a network whose licence binds what is made of it."
)
@click.option("--kimg", type=float, help="Thousands of real images shown.  [default: 1000]")
@click.option("--batch", type=int, help="Images a step.  [default: the configuration's]")
@click.option("--ema-kimg", type=float, help="Half-life of the weights' average.  [default: the configuration's]")
@click.option(
    "--augpipe",
    help="bgc, bg, bgcfnc, blit, geom, color …, diffaug or none.  [default: the method's, mostly bgc]",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "scratch", "transfer", "freeze-d", "svd", "projected"]),
    help="How to start and to adapt; auto: projected, without --gamma, --target and --cells.  [default: auto]",
)
@click.option("--freeze-d", type=int, help="First layers of the discriminator that stay.  [default: the method's]")
@click.option(
    "--max-p", type=float, help="The most that ADA's augmentation strength p may become, up to 8.  [default: 1]"
)
@click.option(
    "--checkpoint-every",
    multiple=True,
    help="4 or 4kimg: scored checkpoints; 15min: saved states between them; may be given twice.  "
    "[default: a tenth of --kimg, at least 4, and 10min]",
)
@click.option(
    "--averages", type=int, help="Checkpoints whose averages are kept for `synth refine`; 0 keeps none.  [default: 40]"
)
@click.option(
    "--noise",
    type=click.Choice(["const", "random", "none"]),
    help="Noise inputs of the pictures that are scored, shown and later drawn.  [default: the start's, else const]",
)
@click.option(
    "--quality-fakes",
    type=int,
    help="Generated images a score is computed from.  [default: 1000, for an FID 50000]",
)
@click.option("--kid-subset", type=int, help="Images in each of KID's subsets.  [default: 100, or all there are]")
@click.option("--features", type=click.Choice(QUALITY_SPACES), help="Feature space.  [default: auto]")
@click.option(
    "--seed",
    "seeds",
    type=int,
    multiple=True,
    help="Of networks, data order, latents and augmentation; repeat to train each cell with each.  [default: 0]",
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.  [default: auto]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "tf32", "bf16"]),
    help="Of the large convolutions.  [default: auto]",
)
@click.option(
    "--compile",
    type=click.Choice(["auto", "on", "off"]),
    help="Let torch.compile fuse the networks: a little faster after a minute; auto: off.  [default: auto]",
)
@click.option(
    "--jobs",
    default="auto",
    help="Cells of a grid to train at once, each in a process of its own; auto: one a GPU or CPU thread.",
)
@click.option("--gpus", type=int, help="Train on several GPUs of this machine, a share of each batch on each.")
@click.option(
    "--storage",
    help="Where the grid's study is, for several machines: postgresql://USER@HOST/DATABASE, journal or journal:FILE.  "
    "[default: a database in --out]",
)
@click.option("--study", help="Name of the study in a --storage.  [default: the name of --out]")
@click.option(
    "--sampler",
    type=click.Choice(["grid", "tpe", "random"]),
    help="grid, or who chooses cells in ranges, such as --gamma 0.05:1:log, until the --budget is used up.  "
    "[default: grid]",
)
@click.option(
    "--pruner",
    type=click.Choice(["none", "median", "hyperband"]),
    help="End cells early whose scores are far behind those of others.  [default: none]",
)
@click.option("--budget", help="When a sampler ends: 20cells, 5000kimg or 12h, of all workers together.")
@click.option("--grace", type=float, help="Seconds after which a silent worker's cell is another's.  [default: 120]")
@click.option(
    "--wait/--no-wait", default=None, help="Stay while other workers have cells, to take up those of the dead.  [wait]"
)
@click.option(
    "--dry-run", is_flag=True, default=None, help="Only say what would be trained, with operations, memory and time."
)
@click.option("--weights", type=WEIGHTS, help="Folder with pretrained weights.")
@click.option("--offline", is_flag=True, default=None, help="Never touch the network.")
def train(**options: Any) -> None:
    """Train StyleGAN2-ADA on the rare class of COHORT: one cell, or a grid ranked in table1.md.

    The same command goes on where it was stopped. Ctrl-C, SIGTERM and SIGUSR1 save the state first, and end with exit
    code 130, 143 or 75.
    """
    from shared.studies.values import read_values
    from synth.train import train as run
    from synth.train_options import read_intervals, resolve_cells

    options |= read_intervals(options.pop("checkpoint_every"))
    options |= {name: read_values(name, options[name]) for name in ("gamma", "target", "lr")}
    gpus = options.pop("gpus")
    if gpus is not None:
        from synth.launch import relaunch

        relaunch(gpus)
    run(*resolve_cells({name: None if value == () else value for name, value in options.items()}))


@cli.command()
@click.argument("network", type=str)
@click.option("--count", type=int, help="How many images, from --seed on.  [default: 1000]")
@click.option("--seed", type=int, help="First seed.  [default: 0]")
@click.option("--seeds", help='Single seeds and ranges, such as "0-7,42", instead of --count.')
@click.option(
    "--truncation",
    type=float,
    help="psi: 1 draws all there is, less draws what is typical.  [default: as `synth refine` chose, else 1]",
)
@click.option(
    "--noise",
    type=click.Choice(["const", "random", "none"]),
    help="Noise inputs: stored, drawn from the seed, or none.  [default: those it was scored with, else const]",
)
@click.option("--class", "class_index", type=int, help="Class of a conditional network.")
@click.option("--png", type=FOLDER, help="Also write each image as a PNG into this folder.")
@click.option("--out", type=FILE, required=True, help="Candidates file to write.")
@click.option("--batch", type=int, default=32, help="Images drawn at once; never changes a picture.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--weights", type=WEIGHTS, help="Folder with published networks.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def generate(**options: Any) -> None:
    """Draw candidates with NETWORK: a name, a file (NVIDIA's .pkl too), a run's or a grid's folder."""
    from synth.generate import GenerateOptions
    from synth.generate import generate as run

    run(GenerateOptions(**options))


@cli.command()
@click.argument("network", type=str)
@click.option("--out", type=FILE, required=True, help="Network file (safetensors) to write.")
@click.option("--half", is_flag=True, help="Store half precision, at half the size.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def export(**options: Any) -> None:
    """Write NETWORK (a name, a file, NVIDIA's .pkl too, a run's or a grid's folder) as a network file."""
    from synth.export import ExportOptions
    from synth.export import export as run

    run(ExportOptions(**options))


@cli.command()
@click.argument("run", type=str)
@click.option("--cohort", type=FILE, required=True, help="Cohort that the run was trained on.")
@click.option("--out", type=FILE, required=True, help="Network file to write; a table and a picture go beside it.")
@click.option("--width", type=float, multiple=True, help="Width of the weights' average to try; repeat.  [default: 7]")
@click.option("--truncation", type=float, multiple=True, help="Truncation to try; repeat.  [default: 0.5 to 1]")
@click.option(
    "--fakes", type=int, help="Generated images that each choice is judged by.  [default: 1000, for FID 5000]"
)
@click.option("--features", type=click.Choice(QUALITY_SPACES), default="auto", help="Feature space.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--weights", type=WEIGHTS, help="Folder with pretrained weights.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--force", is_flag=True, help="Replace existing files.")
def refine(**options: Any) -> None:
    """Choose, after the training in RUN, how wide its weights are averaged and how far styles are truncated."""
    from synth.refine import RefineOptions
    from synth.refine import refine as call

    call(RefineOptions(**{name: value for name, value in options.items() if value != ()}))


@cli.command()
@click.argument("folders", type=FOLDER, nargs=-1)
def networks(folders: tuple[Path, ...]) -> None:
    """List the networks known by name, and those in FOLDERS: size, licence and checksum of each."""
    from synth.network_list import print_networks as run

    run(folders)


@cli.command()
@click.argument("candidates", type=FILE)
@click.option("--cohort", type=FILE, required=True, help="Cohort that the network was trained on.")
@click.option("--network", type=str, required=True, help="Network that drew the candidates.")
@click.option("--sigma", type=float, default=2.0, help="Threshold: mean - sigma x SD of the reals' scores.")
@click.option(
    "--rule",
    type=click.Choice(["union", "intersection", "similarity", "discriminator", "typical-and-diverse"]),
    default="union",
    help="Which score must pass: either, both, or one of them; or what is typical, the most different first.",
)
@click.option("--keep", type=int, help="How many to keep at most, by --rule typical-and-diverse.")
@click.option(
    "--reference",
    type=click.Choice(["train", "validation"]),
    default="train",
    help="Part of the reals that sets thresholds.",
)
@click.option(
    "--gate",
    type=float,
    default=0.01,
    help="Quantile of the photographs' own distances below which a candidate is a copy, and rejected.",
)
@click.option("--require-shareable", is_flag=True, help="Fail unless the images may be passed on.")
@click.option("--features", default="auto", help=f"Feature space: {', '.join(SIMILARITY_SPACES)} or timm:NAME.")
@click.option("--out", type=FILE, required=True, help="Bundle to write.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--weights", type=WEIGHTS, help="Folder with pretrained weights.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def select(**options: Any) -> None:
    """Keep the candidates that look and score like the reals, and write them as a bundle."""
    from synth.select import select as run
    from synth.select_options import SelectOptions

    run(SelectOptions(**options))


@cli.group()
def bundle() -> None:
    """Look into a bundle or a candidates file, write its images as PNGs, or draw them again."""


@bundle.command("info")
@click.argument("file", type=FILE)
@click.option("--json", is_flag=True, help="Print one JSON object instead of a table.")
def bundle_info(**options: Any) -> None:
    """Say what FILE holds and where it came from."""
    from synth.bundle_info import InfoOptions
    from synth.bundle_info import info as run

    run(InfoOptions(**options))


@bundle.command("export")
@click.argument("file", type=FILE)
@click.option("--png", type=FOLDER, help="Folder for one PNG an image, and images.csv with seeds and scores.")
@click.option("--imagefolder", type=FOLDER, help="The same in a folder of the class's name in this one.")
@click.option("--force", is_flag=True, help="Write into a folder that is not empty; an earlier export is replaced.")
def bundle_export(**options: Any) -> None:
    """Write the images of FILE as PNGs. Give --png, --imagefolder (torchvision's ImageFolder reads it), or both."""
    from synth.bundle_export import ExportOptions
    from synth.bundle_export import export as run

    run(ExportOptions(**options))


@bundle.command("verify")
@click.argument("file", type=FILE)
@click.option("--network", type=str, required=True, help="Network that drew the images.")
@click.option(
    "--tolerance", type=int, default=1, help="Levels of 255 that rounding may change, on another device or processor."
)
@click.option("--batch", type=int, default=32, help="Images drawn at once; rounding alone depends on it.")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--weights", type=WEIGHTS, help="Folder with published networks.")
@click.option("--offline", is_flag=True, help="Never touch the network.")
def bundle_verify(**options: Any) -> None:
    """Draw every image of FILE again and compare."""
    from synth.bundle_verify import VerifyOptions
    from synth.bundle_verify import verify as run

    run(VerifyOptions(**options))


if __name__ == "__main__":
    cli()
