"""What a reader must know before believing a figure of Table 2."""

from collections.abc import Mapping, Sequence

from classify.gather import RowKey
from classify.wording import row_name
from shared.records import Record

OF_ONE_FIT = ("fold", "seed", "bundles", "cohort")  # settings that differ within a row


def caveats_of(rows: Mapping[RowKey, Sequence[Record]]) -> list[str]:
    """Return a sentence for each thing that makes figures flatter, or not to be compared."""
    records = [record for group in rows.values() for record in group]
    found = []
    if any(record["allow_seen"] for record in records):
        seen = sum(record["seen"] for record in records)
        found.append(
            f"† evaluated with --allow-seen: {seen} test images had been seen before, so these figures flatter."
        )
    if any(key.protocol == "paper" for key in rows):
        found.append(
            "‡ protocol paper: turned twins lie on both sides of training and validation, and the epoch was chosen on "
            "the test images, so these figures flatter."
        )
    if len({record["cohort"]["sha256"] for record in records}) > 1:
        found.append("The rows come from different cohort files, so they may not be compared.")
    for key, group in rows.items():
        settings = [{k: v for k, v in record["fit"].items() if k not in OF_ONE_FIT} for record in group]
        if key.control == "epochs":  # as many as the fold's own images make
            settings = [{k: v for k, v in each.items() if k != "epochs"} for each in settings]
        if any(each != settings[0] for each in settings):
            found.append(f"{row_name(key)}: its folds were fitted with different settings.")
    if any(record["cohort"]["source"] == "phantom" for record in records):
        found.append(
            "The cohort is the phantom, rendered skin: these figures test the software and say nothing of patients."
        )
    return found
