"""The model card of an exported classifier (Mitchell et al. 2019, arXiv:1810.03993): what it is for, and what is known.

Every figure is one that a fit or an evaluation recorded. What nobody recorded is said to be unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classify.exporting.about import NOTICE, coarse_words, part_of
from classify.exporting.card_data import data, synthetic
from classify.exporting.card_results import Evaluated, results
from classify.exporting.check import TOLERANCE
from classify.table2.wording import percent
from shared.cohort import PHANTOM
from shared.document import Block, Bullets, Grid, Heading, Paragraph, escaped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shared.cohort import Cohort

Json = dict[str, Any]

RESULTS_UNKNOWN = (
    "No evaluation was given with the export (`--records`), so how right this model is on photographs that it has not "
    "seen is **unknown** here."
)


def card(
    about: Mapping[str, Any], history: Mapping[str, Any], cohort: Cohort | None, evaluated: Sequence[Evaluated]
) -> list[Block]:
    """Return the card of the model that `about` describes (`classify.exporting.about.describe`).

    Args:
        about: what the exported files tell.
        history: of the fit (`classify.fitting.folder`).
        cohort: that it was fitted on, where it is at hand.
        evaluated: what its records come to, a test set each.
    """
    negative, positive = map(escaped, about["classes"])
    return [
        Heading(f"Model card: {about['label']} for {positive}"),
        Paragraph(f"**{NOTICE}**"),
        Heading("The model", 2),
        _facts(about),
        Heading("Intended use", 2),
        Paragraph(
            f"Research on how well photographs of {positive} can be told from those of {negative}: to be measured "
            "again, compared, and built into prototypes of applications whose answers nobody acts upon. What its "
            "makers intend beyond that is not recorded, and theirs to add here."
        ),
        Heading("Out of scope", 2),
        Paragraph(
            "Diagnosis, triage, and advice to patients. Photographs of other things than the two classes, which get a "
            "probability all the same: the model knows no third answer. Other cameras, clinics, ages, and skin tones "
            "than those of its photographs, on which nothing was measured unless it stands below."
        ),
        *data(about, cohort),
        *synthetic(about),
        *_training(about, history),
        *_thresholds(about),
        Heading("Results", 2),
        *(results(evaluated, about) if evaluated else [Paragraph(RESULTS_UNKNOWN)]),
        *_limits(about),
        *_files(about),
        Heading("Licence", 2),
        *(Paragraph(escaped(each)) for each in about["licence"]),
    ]


def _facts(about: Mapping[str, Any]) -> Grid:
    fit, counts = about["fit"], about["parameters"]
    rows = [
        ("Network", f"{about['label']} (`{about['model']}`), input {about['preparation']['input_px']} px"),
        ("Parameters", f"{counts['total']:,}, of which {counts['trainable']:,} were trained"),
        ("Classes", f"{' and '.join(map(escaped, about['classes']))}; the probability is that of the second"),
        ("Fit", f"fold {fit['fold']}, seed {fit['seed']}, protocol {fit['protocol']}, ratio {_ratio(fit)}"),
        ("Cohort (SHA-256)", f"`{about['cohort']['sha256']}`"),
        ("Tensors (SHA-256)", f"`{about['model_sha256']}`"),
        ("Versions of the fit", _versions(about["fitted_on"])),
        ("Versions of the export", _versions(about["exported_on"])),
    ]
    return Grid(["What", "Value"], rows, left=2)


def _ratio(fit: Json) -> str:
    return str(fit["ratio"]) + ("" if fit["control"] == "none" else f", {fit['control']}")


def _versions(environment: Json) -> str:
    versions = part_of(environment, "versions") | part_of(environment, "packages")
    named = [f"{name} {versions[name]}" for name in ("rarescreen", "torch", "onnx", "onnxruntime") if name in versions]
    return ", ".join([f"Python {environment.get('python', 'unknown')}", *named, str(environment.get("device", ""))])


def _training(about: Mapping[str, Any], history: Mapping[str, Any]) -> list[Block]:
    fit, best = about["fit"], history["best_epoch"]
    layers = {None: "all layers", 0: "the head alone"}.get(
        fit["unfreeze"], f"the head and the backbone's last {fit['unfreeze']} modules"
    )
    scored = history["epochs"][best - 1]["validation"] if best else None
    chosen = f"Epoch {best} of {len(history['epochs'])} is kept"
    if fit["protocol"] == "paper":
        chosen += ", the best on the balanced test images: what they measure flatters."
    elif scored:
        chosen += (
            f", the best on the validation images, where its balanced accuracy is "
            f"{percent(scored['balanced_accuracy'])} %: a little too good, since they chose it."
        )
    else:
        chosen += "."
    changed = ", then under random changes of light, place and scale" if fit["control"] == "augmentation" else ""
    return [
        Heading("Training", 2),
        Paragraph(
            f"{fit['optimizer']}, learning rate {fit['lr']:g}, batches of {fit['batch']}, {fit['precision']}; "
            f"trained: {layers}; cross-entropy, classes of equal size, every image six-fold by turns and "
            f"flips{changed}. {chosen}"
        ),
    ]


def _thresholds(about: Mapping[str, Any]) -> list[Block]:
    sensitive, asked = about["threshold_sensitive"], 100 * about["sensitivity"]
    cut = "undefined: no validation positives" if sensitive is None else f"{sensitive:.3g}"
    return [
        Heading("Calibration and thresholds", 2),
        Paragraph(
            f"The probability is calibrated by temperature scaling, T = {about['temperature']:.3g}, from "
            f"{about['temperature_chosen_on']} (1 where they cannot tell). It holds where the disease is as "
            "frequent as among those; where it is rarer, it is too high as it stands."
        ),
        Grid(
            ["Verdict", "Positive where the probability is above", "Chosen on"],
            [
                ("likelier class", f"{about['threshold']:g}", about["thresholds_chosen_on"]["threshold"]),
                (f"finds {asked:g} %", cut, about["thresholds_chosen_on"]["threshold_sensitive"]),
            ],
            left=3,
        ),
    ]


def _limits(about: Mapping[str, Any]) -> list[Block]:
    coarse = coarse_words(about["evidence_cells"])
    evidence = (
        f"There is no heat map: {about['no_evidence']}."
        if about["no_evidence"]
        else "The heat map shows what the score depends on, not that it looks at the disease; it is coarse, and says "
        f"nothing of what speaks against.{coarse and f' And {coarse}.'}"
    )
    phantom = ["Its cohort is the phantom, rendered skin: it knows nothing of patients."]
    paper = [
        "Protocol paper: turned twins of the training images are among the validation images, of which probability and "
        "thresholds were made, and the test images chose the epoch; so all of them flatter."
    ]
    lines = [
        *(paper if about["fit"]["protocol"] == "paper" else []),
        *(phantom if about["cohort"].get("source") == PHANTOM else []),
        "One training of one fold: another seed or other photographs give another model.",
        "A threshold from few validation positives is coarse, and holds for photographs like these alone.",
        evidence,
        "It was not tested against images made to deceive it, and does not notice what is no photograph of skin.",
    ]
    return [Heading("Limits", 2), Bullets(lines)]


def _files(about: Mapping[str, Any]) -> list[Block]:
    preparation, checks = about["preparation"], about["check"]
    rows = [
        (
            name,
            f"`{each['sha256']}`",
            f"{each['bytes']:,}",
            *(_difference(each[of]) for of in ("probability", "score", "evidence")),
        )
        for name, each in checks.items()
    ]
    compared = next(iter(checks.values()))
    return [
        Heading("Files", 2),
        Paragraph(
            f"Input: photographs, uint8 [N, H, W, 3] RGB of any size, turned upright. Inside, the middle square is "
            f"brought to {preparation['square_px']} px, then to the network's {preparation['input_px']} px, and "
            "normalised. The largest differences from PyTorch, over "
            f"{compared['images']} images of {compared['source']} and photographs of other shapes; at most "
            f"{TOLERANCE:g} is let through (scores above 1 and evidence relative to their size):"
        ),
        Grid(["File", "SHA-256", "Bytes", "Probability", "Score", "Evidence"], rows, left=2),
    ]


def _difference(value: float | None) -> str:
    return "none" if value is None else f"{value:.1e}"
