"""How well a frozen EfficientNet-Lite0 and a logistic regression tell two folders of photographs apart.

    python benchmarks/linear_probe.py POSITIVE_FOLDER NEGATIVE_FOLDER [--draws 5]

Classes are made equal by drawing from the larger one, which is repeated since the figure depends on the draw; accuracy
and AUC are those of five shuffled folds. A classifier that cannot beat them has learnt less than a linear probe.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from shared.nn.backbone import CPU_BATCH, OfflineBackbone


def folder_features(folder: Path, backbone: OfflineBackbone) -> npt.NDArray[np.float32]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    batches = [paths[start : start + CPU_BATCH] for start in range(0, len(paths), CPU_BATCH)]
    photos = [np.stack([np.asarray(Image.open(path).convert("RGB")) for path in batch]) for batch in batches]
    return np.concatenate([backbone(photo).numpy() for photo in photos])  # [N, F]


def probe(features: npt.NDArray[np.float32], label: npt.NDArray[np.int64], seed: int) -> tuple[float, float]:
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = LogisticRegression(C=0.1, max_iter=3000)
    score = cross_val_predict(model, features, label, cv=folds, method="predict_proba")[:, 1]
    return float(np.mean((score > 0.5) == label)), float(roc_auc_score(label, score))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("positive", type=Path, help="photographs of one size")
    parser.add_argument("negative", type=Path, help="photographs of one size")
    parser.add_argument("--draws", type=int, default=5)
    options = parser.parse_args()
    backbone = OfflineBackbone()
    classes = [folder_features(folder, backbone) for folder in (options.positive, options.negative)]
    count = min(map(len, classes))
    label = np.repeat([1, 0], count)
    results = []
    for seed in range(options.draws):
        rng = np.random.default_rng(seed)
        drawn = [features[np.sort(rng.choice(len(features), count, replace=False))] for features in classes]
        results.append(probe(np.concatenate(drawn), label, seed))
    (accuracy, auc), (accuracy_std, auc_std) = np.mean(results, axis=0), np.std(results, axis=0)
    print(
        f"{options.positive.name} vs {options.negative.name}: n = {count} each, 5 folds, {options.draws} draws (seeds "
        f"from 0): accuracy {accuracy:.3f} ± {accuracy_std:.3f}, AUC {auc:.3f} ± {auc_std:.3f}"
    )


if __name__ == "__main__":
    main()
