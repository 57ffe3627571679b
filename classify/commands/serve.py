"""`classify serve`."""

from __future__ import annotations

from typing import Any

import click

from classify import option
from shared.command_line import served


@click.command("serve")
@click.argument("model", type=option.FILE)
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
    try:
        from shared.web.server import Address, require_free

        address = Address(host, port)
        if issue is None:
            require_free(address, options["tokens"])  # torch takes its time
        from classify import serve as stage
    except ImportError as error:
        from shared.errors import UserError

        raise UserError(f"serve: needs the package {error.name}; pip install 'rarescreen[serve]'.") from error
    from classify.measuring.operating import Operating
    from shared.errors import UserError

    if issue is None:
        operating = Operating(sensitivity, (prevalence,))
        stage.run(stage.ServeOptions(**options, operating=operating, address=address))
    elif options["tokens"] is None:
        raise UserError("--issue: give --tokens FILE, which its hash is added to.")
    else:
        click.echo(stage.issue_token(options["tokens"], issue, scopes, days))
