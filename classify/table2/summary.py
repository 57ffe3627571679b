"""Records become the rows of Table 2, with what can be said of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from classify.fitting.ratio import NONE
from classify.measuring.measured import Measured
from classify.measuring.operating import LEAST, Operating
from classify.measuring.statistics import spread
from classify.measuring.verdicts import Verdicts
from classify.presets import Published, paper_values
from classify.registry import model_label
from classify.table2.caveats import caveats_of
from classify.table2.conclusion import conclude, headline, rank_models
from classify.table2.contrast import Contrasts, contrasts
from classify.table2.gather import RowKey, rows_of
from classify.table2.outcome import SetResult, set_result
from shared.records import Record

CHANCE = 0.5  # area under the curve of a probe that knows nothing


@dataclass(frozen=True)
class Row:
    """One row of Table 2."""

    key: RowKey
    label: str
    parameters: Mapping[str, int | None]  # total, trainable, imagenet
    balanced: SetResult | None
    external: SetResult | None
    by_fold: tuple[float, ...]  # accuracy on the balanced set, means over seeds
    validation: float | None  # balanced accuracy of the kept epochs there, mean over models
    allow_seen: bool
    train_s: float | None  # mean over models, without `frozen_s`
    frozen_s: float | None  # of frozen layers, once for all pictures of a fit, mean over models that computed some
    epochs: float | None  # trained, mean over models
    kept_epochs: tuple[tuple[int, int, int], ...]  # fold, seed and kept epoch of each model
    image_s: float | None  # test time an image, mean over records
    peak_bytes: int | None  # the most of any training
    synthetic_probe: Measured | None  # how well its features tell synthetic from real positives: AUC, mean over models
    source_probe: Measured | None  # and external images from the study's negatives
    paper: Mapping[str, Published]
    fits: tuple[Mapping[str, Any], ...]  # settings of its models (`classify.fitting.settings.FitConfig`)

    @property
    def knows_synthetic(self) -> bool:
        """Whether its features tell synthetic from real positives where only positives are synthetic."""
        found = self.synthetic_probe
        sure = found is not None and found.interval is not None and found.interval[0] > CHANCE
        return sure and self.key.synthetic != "both"


@dataclass(frozen=True)
class Table:
    """Table 2 and what must be known to read it."""

    rows: tuple[Row, ...]
    contrasts: Contrasts
    headline: str  # the answer in a sentence
    conclusion: tuple[str, ...]  # in plain words, a sentence or more for each model
    missing: Mapping[tuple[str, str], Mapping[str, Published]]  # rows of the paper that were not run
    warnings: tuple[str, ...]
    environments: tuple[Mapping[str, Any], ...]
    hardware: tuple[Mapping[str, Any], ...]
    cohorts: tuple[Mapping[str, Any], ...]
    operating: Operating
    command: str


def summarize(
    records: Sequence[Record],
    *,
    operating: Operating = Operating(),  # noqa: B008 - frozen
    least: int = LEAST,
    command: str = "",
) -> Table:
    """Return Table 2 of `records`: one row for each model, ratio, control and protocol, in the paper's order."""
    published = paper_values()
    groups = rows_of(records)
    made = {key: _row(key, group, published, operating, least) for key, group in groups.items()}
    rows = tuple(row for row, _ in made.values())
    judged = {key: (groups[key], verdicts) for key, (_, verdicts) in made.items() if verdicts is not None}
    compared = contrasts(judged)
    run = {(row.key.model, row.key.ratio) for row in rows if _is_of_paper(row.key)}
    return Table(
        rows=rows,
        contrasts=compared,
        headline=headline(rows, compared),
        conclusion=(*conclude(rows, compared), *rank_models(compared)),
        missing={key: values for key, values in published.items() if key not in run},
        warnings=tuple(caveats_of(groups)),
        environments=_distinct(
            [record[name] for record in records for name in ("fitted_on", "environment") if record[name]]
        ),
        hardware=_distinct([record["hardware"] for record in records]),
        cohorts=_distinct([record["cohort"] for record in records]),
        operating=operating,
        command=command,
    )


def _distinct(found: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    return tuple({json.dumps(each, sort_keys=True): each for each in found}.values())


def _row(
    key: RowKey,
    records: Sequence[Record],
    published: Mapping[tuple[str, str], Mapping[str, Published]],
    operating: Operating,
    least: int,
) -> tuple[Row, Verdicts | None]:
    """Return a row, and its verdicts on the balanced set if there are any."""
    by_set = {name: [record for record in records if record["key"]["set"] == name] for name in ("balanced", "external")}
    results = {name: set_result(own, operating, least) if own else (None, None) for name, own in by_set.items()}
    fits = {(record["key"]["fold"], record["key"]["seed"]): record for record in records}.values()
    kept = [_kept_validation(record) for record in fits]
    times = [record["times"]["train_s"] for record in fits]
    peaks = [record["peak_bytes"]["train"] for record in fits if record["peak_bytes"]["train"] is not None]
    row = Row(
        key=key,
        label=model_label(key.model),
        parameters=records[0]["parameters"],
        balanced=results["balanced"][0],
        external=results["external"][0],
        by_fold=_by_fold(by_set["balanced"]),
        validation=_mean(kept),
        allow_seen=any(record["allow_seen"] for record in records),
        train_s=_mean(times),
        frozen_s=_mean([seconds for record in fits if (seconds := _frozen_s(record.get("frozen"))) is not None]),
        epochs=_mean([len(record["epochs"]) for record in fits]),
        kept_epochs=tuple(sorted((r["key"]["fold"], r["key"]["seed"], r["best_epoch"]) for r in fits)),
        image_s=_mean([record["times"]["image_s"] for record in records]),
        peak_bytes=max(peaks, default=None),
        synthetic_probe=_probed([record["synthetic_probe"] for record in fits]),
        source_probe=_probed([record["source_probe"] for record in by_set["external"]]),
        paper=published.get((key.model, key.ratio), {}) if _is_of_paper(key) else {},
        fits=tuple(record["fit"] for record in fits),
    )
    return row, results["balanced"][1]


def _is_of_paper(key: RowKey) -> bool:
    """Tell whether the paper could have such a row: it has no controls, and no synthetic negatives."""
    return key.control == NONE and key.synthetic == "positive"


def _by_fold(records: Sequence[Record]) -> tuple[float, ...]:
    folds = sorted({record["key"]["fold"] for record in records})
    means = [_mean([r["metrics"]["accuracy"] for r in records if r["key"]["fold"] == fold]) for fold in folds]
    return tuple(mean for mean in means if mean is not None)


def _mean(values: Sequence[float | None]) -> float | None:
    found = spread(values)
    return None if found is None else found.mean


def _probed(found: Sequence[Mapping[str, Any] | None]) -> Measured | None:
    """Return the mean of probes over models, and the means of the ends of their intervals; None without any."""
    probes = [each for each in found if each is not None]
    if not probes:
        return None
    intervals = [each["interval"] for each in probes if each["interval"] is not None]
    low, high = (_mean([each[end] for each in intervals]) for end in (0, 1))
    return Measured(_mean([each["auc"] for each in probes]), None if low is None or high is None else (low, high))


def _frozen_s(frozen: Mapping[str, Any] | None) -> float | None:
    """Return what frozen layers take for all pictures of a fit, by those that were computed; None when none was."""
    if frozen is None or not frozen["computed"]:
        return None
    return float(frozen["seconds"] * (frozen["computed"] + frozen["kept"]) / frozen["computed"])


def _kept_validation(record: Record) -> float | None:
    """Return the validation accuracy of the epoch that was kept, both classes weighed alike."""
    best = record["best_epoch"]
    scored = record["epochs"][best - 1]["validation"] if best else None
    return None if scored is None else float(scored["balanced_accuracy"])
