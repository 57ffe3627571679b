"""`classify serve`."""

from __future__ import annotations

from typing import Any

import click

from classify import option


@click.command("serve")
@click.argument("model", type=option.FILE)
@click.option("--cohort", type=option.FILE, help="The cohort of the model; needed once, later its features are there.")
@click.option("--fit", type=click.Choice(["crop", "pad", "stretch"]), default="crop", help="As of `synth prepare`.")
@option.SENSITIVITY
@click.option("--prevalence", type=float, default=0.03, help="Share of positives among those who use it.")
@click.option("--disease", metavar="WORDS", help="What the page calls the positive class.  [default: its name]")
@click.option("--host", default="127.0.0.1", help="Address to listen at; others than this machine's need --tokens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="0 takes a free one.")
@click.option("--name", "names", multiple=True, help="Host that it is called by, behind a proxy; repeatable.")
@click.option("--tokens", type=option.FILE, help="File of tokens; without it this machine alone may use the page.")
@click.option("--issue", metavar="NAME", help="Print a new token for NAME, add it to --tokens, and end.")
@click.option("--scope", "scopes", multiple=True, help="What the token allows: screen, feedback.  [default: both]")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Until the token expires.  [default: never]")
@click.option("--feedback", type=option.FILE, help="File that answers to a usability form are kept in, with consent.")
@click.option("--per-minute", type=float, default=60.0, help="Photographs of one client.")
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
