"""A screening service for tests: a small fitted model, its page and interface in this process or on a real socket."""

import contextlib
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import uvicorn
from fitting import run
from PIL import Image

from classify.fitting.folder import read_model
from classify.screening.app import guarded as bounded
from classify.screening.app import make_app
from classify.screening.feedback import Feedback
from classify.serve import ServeOptions, make_service
from shared.cohort import Cohort, write_cohort
from shared.web.access import Access
from shared.web.guard import Guard
from shared.web.limits import RateLimit
from shared.web.server import Address, listen
from shared.web.tokens import Tokens


def fitted(folder: Path, make_cohort: Callable[..., Cohort]) -> Path:
    """Return the folder of a model whose reference is known; its cohort stands beside it."""
    cohort = make_cohort(positives=180, negatives=180)
    write_cohort(folder / "cohort.h5", cohort)
    from shared.cohort import read_cohort

    return run(read_cohort(folder / "cohort.h5"), folder / "model")


@contextlib.contextmanager
def guarded(model: Path, *, feedback: Path | None = None, tokens: Path | None = None) -> Iterator[Guard]:
    """Give the application, as the command serves it."""
    options = ServeOptions(model, cohort=model.parent / "cohort.h5", disease="herpeticum", device="cpu")
    service = make_service(read_model(model), options)
    access = Access(None if tokens is None else Tokens(tokens), RateLimit(100_000))
    app = make_app(service, access, None if feedback is None else Feedback(feedback))
    try:
        yield bounded(app, ["testserver"], io.StringIO())
    finally:
        service.engine.close()
        service.decoders.close()


@contextlib.contextmanager
def on_a_socket(app: Guard) -> Iterator[str]:
    """Serve an application, and give its address."""
    listener = listen(Address(port=0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def photograph(image: np.ndarray, kind: str = "PNG") -> bytes:
    """Return an image as a file; of a prepared one every kind without loss is prepared to the same pixels again."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()
