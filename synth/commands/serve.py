"""`synth serve`."""

from pathlib import Path
from typing import Any

import click

from shared.command_options import require_web_server, served, tokens_file
from synth import option
from synth.choices import SIMILARITY_SPACES


@click.command("serve")
@click.argument("folders", type=option.FOLDER, nargs=-1)
@click.option("--store", type=option.FOLDER, help="Folder of orders, what came of them, and the audit log.")
@click.option("--database", help="Database of the orders, postgresql://….  [default: SQLite in --store]")
@click.option(
    "--networks",
    multiple=True,
    help="Network to offer: a name, a file, a run's folder, or a folder of files; repeatable.",
)
@click.option(
    "--cohort", "cohorts", type=option.FILE, multiple=True, help="Cohort that orders are compared with; repeatable."
)
@click.option("--draw", multiple=True, help="Network that single pictures are drawn with, by seed; repeatable.")
@click.option(
    "--unfiltered", is_flag=True, help="Let --draw name networks that saw photographs: nobody looks for copies."
)
@served(("list", "draw", "order", "download", "audit"), missing="none, so give one", counted="Requests", per_minute=600)
@click.option("--most", type=int, default=10_000, help="Candidates that an order may have.")
@click.option("--images-a-day", type=int, default=50_000, help="Candidates that each client may order in a day.")
@click.option("--hours", type=float, default=24.0, help="How long an order may take.")
@click.option(
    "--memory", "memory_gib", type=float, default=16.0, help="GiB that the process which fills orders may use."
)
@click.option(
    "--features",
    default="auto",
    callback=option.feature_space,
    help=f"Feature space: {', '.join(SIMILARITY_SPACES)} or timm:NAME.",
)
@option.DEVICE
@option.WEIGHTS
@option.OFFLINE
def command(
    store: Path | None,
    issue: str | None,
    scopes: tuple[str, ...],
    days: float | None,
    host: str,
    port: int,
    **options: Any,
) -> None:
    """Offer the shareable bundles in FOLDERS, and orders of more, to partners who may not see the photographs."""
    require_web_server()
    if issue is not None:
        file = tokens_file(options["tokens"])
        from synth.serve import issue_token

        click.echo(issue_token(file, issue, scopes, days))
        return
    if store is None:
        raise click.UsageError("--store is missing: a folder for orders, what came of them, and the audit log")
    from shared.web.server import Address
    from synth.serve import serve as run
    from synth.service.options import Bounds, ServeOptions

    bounds = Bounds(**{name: options.pop(name) for name in ("per_minute", "most", "images_a_day", "hours")})
    run(ServeOptions(store=store, address=Address(host, port), bounds=bounds, **options))
