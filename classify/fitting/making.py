"""What a fit is made of, once it is planned: its network, its settings, its images, and the loop over them."""

from pathlib import Path

import torch

from classify.fitting.features import FeatureStore
from classify.fitting.inputs import choose_inputs
from classify.fitting.plan import Plan
from classify.fitting.prefix import cut
from classify.fitting.schedule import FROZEN_VARIATIONS, TrainSettings, seeded
from classify.fitting.score import Progress, Watcher
from classify.fitting.settings import FitConfig
from classify.fitting.training import Training
from classify.models import Classifier, build_model, set_trainable
from classify.place import Place
from shared.nn.device import choose_precision, reproducible
from shared.progress import progress


def make_classifier(config: FitConfig, place: Place) -> Classifier:
    """Return the classifier of a configuration as it begins, on its device.

    Raises `UserError`: no such weights, or fewer modules than are to train.
    """
    with seeded(place.device, config.seed, "weights"):
        classifier = build_model(
            config.model,
            image_size=config.image_size,
            weights=place.weights,
            depth=config.depth,
            head=config.head,
            dropout=config.dropout,
        )
    set_trainable(classifier, config.unfreeze, name=config.model)
    return classifier.to(place.device)


def train_settings(config: FitConfig, device: torch.device, *, is_cut: bool) -> TrainSettings:
    """Return how a configuration trains on a device.

    With `is_cut` its first layers are frozen and their features can be kept (`classify.fitting.prefix.cut`), so that
    random changes are few. It is the network that decides, and not the memory of the day.
    """
    variations = 0
    if config.control == "augmentation":
        variations = FROZEN_VARIATIONS if is_cut else config.epochs
    return TrainSettings(
        epochs=config.epochs,
        lr=config.lr,
        batch=config.batch,
        optimizer=config.optimizer,
        seed=config.seed,
        patience=config.patience,
        dtype=choose_precision(config.precision, device),
        variations=variations,
    )


def make_training(
    planned: Plan,
    classifier: Classifier,
    place: Place,
    *,
    checkpoint: Path,
    end: Path | None = None,
    watcher: Watcher | None = None,
) -> Training:
    """Return the loop of a planned fit, which goes on from `checkpoint` if there is one (see `Training`).

    Raises:
        UserError: the checkpoint is not of this fit, or stored features cannot be read.
        shared.interruption.StopAskedError: a signal came while features were computed.
    """
    config, mixture = planned.config, planned.mixture
    parts = cut(classifier)
    settings = train_settings(config, place.device, is_cut=parts is not None)
    store = FeatureStore(place.cache, place.ranks, place.interruption)
    with reproducible():
        inputs = choose_inputs(classifier, parts, mixture, store, settings, place.ranks)
    return Training(
        classifier,
        inputs,
        mixture,
        settings,
        checkpoint=checkpoint,
        end=end,
        ranks=place.ranks,
        interruption=place.interruption,
        watcher=watcher,
    )


def train(training: Training, title: str) -> Progress:
    """Train to the end behind a progress bar called `title`; raises as `Training.run` does."""
    total = training.settings.epochs * len(training.mixture.train)
    with progress(title, total, unit="images") as bar, reproducible():
        return training.run(bar)
