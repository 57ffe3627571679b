"""`classify serve`."""

from __future__ import annotations

from typing import Any

import click

from classify import option
from shared.command_options import require_web_server, served, tokens_file


@click.command("serve")
@click.argument("model", type=option.MODEL, required=False)
@click.option("--cohort", type=option.COHORT, help="The cohort of the model; needed once, to look at its images.")
@option.FIT
@option.SENSITIVITY
@click.option("--prevalence", type=float, default=0.03, help="Share of positives among those who use it.")
@click.option("--disease", metavar="WORDS", help="What the page calls the positive class.  [default: its name]")
@served(("screen", "feedback"), missing="both", counted="Photographs", per_minute=60)
@click.option("--feedback", type=option.FILE, help="File that answers to a usability form are kept in, with consent.")
@option.DEVICE
def command(
    issue: str | None,
    scopes: tuple[str, ...],
    days: float | None,
    sensitivity: float,
    prevalence: float,
    host: str,
    port: int,
    **options: Any,
) -> None:
    """Serve a page on which MODEL judges a photograph: in words and numbers, with its evidence, or that it cannot.

    A research tool, not a medical device. Nothing of a photograph is stored or logged.
    """
    require_web_server()
    if issue is not None:
        file = tokens_file(options["tokens"])
        from classify import serve as stage

        click.echo(stage.issue_token(file, issue, scopes, days))
        return
    if options["model"] is None:
        raise click.UsageError("MODEL is missing: a folder that `classify fit` wrote")
    from shared.web.server import Address, require_free

    address = Address(host, port)
    require_free(address, options["tokens"])  # torch takes its time
    from classify import serve as stage
    from classify.measuring.operating import Operating

    operating = Operating(sensitivity, (prevalence,))
    stage.run(stage.ServeOptions(**options, operating=operating, address=address))
