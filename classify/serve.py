"""The stage `classify serve`: a page and an interface that judge one photograph at a time."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from classify.fitting.folder import FittedModel, model_folders, read_model
from classify.measuring.operating import Operating
from classify.screening.answer import Service
from classify.screening.app import SCOPES, guarded, make_app
from classify.screening.engine import Engine
from classify.screening.feedback import Feedback
from classify.screening.judgement import make_judge, validation_of
from classify.screening.reference import NAME, Reference, digest_of, make_reference, read_reference, write_reference
from shared.cohort import POSITIVE, read_cohort
from shared.console import say
from shared.decoding import Decoders
from shared.errors import UserError
from shared.images import Fit
from shared.nn.device import choose_device, choose_precision
from shared.web.access import Access
from shared.web.limits import MOST_PER_MINUTE, RateLimit
from shared.web.server import Address, require_safe, reserve, serve
from shared.web.tokens import Tokens, issue


@dataclass(frozen=True)
class ServeOptions:
    """Options of `classify serve`.

    Attributes:
        model: folder of one fitted model.
        cohort: the one that it was fitted on; needed once, after which its features stand in the model's folder.
        fit: how photographs are squared: as the cohort's were.
        operating: the sensitivity that the threshold is for, and the prevalence where it is used.
        disease: what the page calls the positive class; by default its name.
        address, names: where it listens, and which hosts it is called by besides this machine's.
        tokens: file of those who may use it; without it this machine alone may.
        feedback: file that answers to the usability questions are kept in; without it nobody is asked.
        per_minute: photographs of one client.
    """

    model: Path
    cohort: Path | None = None
    fit: Fit = "crop"
    operating: Operating = Operating()  # noqa: RUF009 - frozen
    disease: str | None = None
    address: Address = Address()  # noqa: RUF009 - frozen
    names: tuple[str, ...] = ()
    tokens: Path | None = None
    feedback: Path | None = None
    per_minute: float = 60.0
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 1 <= self.per_minute <= MOST_PER_MINUTE:
            raise UserError(f"--per-minute {self.per_minute:g}: out of range; give 1 to {MOST_PER_MINUTE:g}.")


def run(options: ServeOptions) -> None:
    """Serve until asked to end.

    Raises `UserError`: no fitted model, no reference and no cohort to make it of, too few validation images, an address
    that cannot be had, or one that others reach without tokens.
    """
    require_safe(options.address, options.tokens)
    fitted = _one_model(options.model)
    access = Access(None if options.tokens is None else Tokens(options.tokens), RateLimit(options.per_minute))
    feedback = None if options.feedback is None else Feedback(options.feedback)
    names = (*options.address.names, *options.names)
    with reserve(options.address) as listener:
        service = make_service(fitted, options)
        try:
            serve(guarded(make_app(service, access, feedback), names), listener, what="screening page")
        finally:
            service.engine.close()
            service.decoders.close()


def issue_token(tokens: Path, name: str, scopes: tuple[str, ...], days: float | None) -> str:
    """Return a new token of the service; its hash is added to the file `tokens`."""
    return issue(tokens, name, scopes or SCOPES, allowed=SCOPES, days=days)


def _one_model(path: Path) -> FittedModel:
    folders = model_folders(path)
    if len(folders) > 1:
        raise UserError(f"{path}: holds a model a fold; serve one of them, such as {folders[0]}.")
    return read_model(folders[0])


def make_service(fitted: FittedModel, options: ServeOptions) -> Service:
    """Return all that answers need; the reference is made if there is a cohort to make it of, and kept."""
    validation_of(fitted)  # refused before the reference is made, which takes a while
    reference = _reference(fitted, options.cohort)
    judge = make_judge(fitted, reference, options.operating)
    device = choose_device(options.device)
    choose_precision("fp32", device)  # a verdict is that of `classify evaluate`, whatever the device
    engine = Engine(fitted.load().to(device))
    return Service(
        decoders=Decoders(os.cpu_count() or 1, size=reference.size, fit=options.fit),  # last: processes, to be ended
        engine=engine,
        judge=judge,
        disease=options.disease or str(fitted.document["classes"][POSITIVE]).replace("_", " "),
        sensitivity=options.operating.sensitivity,
        model=digest_of(fitted),
        fold=fitted.config.fold,
        rehearses=fitted.knows_no_patient,
    )


def _reference(fitted: FittedModel, cohort: Path | None) -> Reference:
    """Return what a model knows: what is kept, unless a cohort is given and it is not of it."""
    kept = fitted.path / NAME
    if cohort is None and not kept.exists():
        raise UserError(
            f"{fitted.path}: it is not known yet what its photographs are like; give --cohort once, the one that it "
            "was fitted on."
        )
    if cohort is not None:
        given = read_cohort(cohort)
        with contextlib.suppress(UserError):
            found = read_reference(kept, fitted)
            if found.cohort == given.sha256:
                return found
        write_reference(kept, make_reference(fitted, given))
        say(f"written: {kept} (features of the photographs, and no photograph)")
    return read_reference(kept, fitted)
