"""No test image may have been seen by a GAN, a filter or a reference: from photographs to the refusal, and back.

A photograph is a test image's own or its patient's; what was seen is decided here by naive loops over photographs and
patients, which know nothing of cohorts, their group numbers and their files.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classify.cli import cli as classify
from classify.fitting.folder import read_model
from classify.guard import count_seen, refuse_seen, seen_by_bundle, seen_by_fit
from shared.bundle import Bundle, read_bundle, write_bundle
from shared.cohort import EXTERNAL, NO_FOLD, STUDY, Cohort, read_cohort
from shared.errors import UserError
from shared.records import read_records
from shared.splits import balanced_test_set, external_test_set, partners, parts
from synth.cli import cli as synth

FOLDS = 3


@dataclass(frozen=True)
class Photograph:
    """One photograph, as its hospital knows it."""

    name: str
    patient: int
    label: int
    fold: int  # NO_FOLD when it is external


def was_seen(photograph: Photograph, seen: Sequence[Photograph]) -> bool:
    return any(photograph.name == other.name or photograph.patient == other.patient for other in seen)


def numbers_of(photographs: Sequence[Photograph]) -> list[int]:
    """Return the group number of each photograph: groups are counted in the order of their first names."""
    numbers: dict[int, int] = {}
    for photograph in sorted(photographs, key=lambda each: (each.fold == NO_FOLD, each.name)):
        numbers.setdefault(photograph.patient, len(numbers))
    return [numbers[each.patient] for each in photographs]


def cohort_of(photographs: Sequence[Photograph], numbers: Sequence[int], *, size: int = 8, sha256: str = "a") -> Cohort:
    return Cohort(
        images=np.zeros((len(photographs), size, size, 3), np.uint8),
        label=np.array([each.label for each in photographs], np.int64),
        image_id=np.array([each.name for each in photographs], np.str_),
        group_id=np.array(numbers, np.int64),
        fold=np.array([each.fold for each in photographs], np.int8),
        role=np.array([EXTERNAL if each.fold == NO_FOLD else STUDY for each in photographs], np.uint8),
        source_path=np.array([f"{each.name}.png" for each in photographs], np.str_),
        classes=("eczema", "herpeticum"),
        folds=FOLDS,
        seed=0,
        source="photographs",
        sha256=sha256,
    )


def bundle_of(cohort: Cohort, seen: Sequence[int], **changes: Any) -> Bundle:
    """Return a bundle of images that a generator drew after it, its filters and its references saw the rows `seen`."""
    rows, size = np.array(seen, np.int64), cohort.size
    ones, seed = np.ones(12, np.float32), np.arange(12)
    bundle = Bundle(
        images=np.random.default_rng(0).integers(0, 256, (len(seed), size, size, 3), np.uint8),
        seed=seed,
        similarity=ones,
        discriminator=ones,
        candidates={"seed": seed, "similarity": ones, "discriminator": ones}
        | dict.fromkeys(("selected", "by_similarity", "by_discriminator"), np.ones(len(seed), bool)),
        reference=dict.fromkeys(("similarity", "discriminator"), ones[:0]) | {"image_id": cohort.image_id[:0]},
        seen_image_id=cohort.image_id[rows],
        seen_group_id=cohort.group_id[rows],
        class_name=cohort.positive,
        label=1,
        fold=0,
        protocol="strict",
        generator={},
        quality={},
        cohort=cohort.sha256,
        rule="union",
        sigma=2.0,
        thresholds={},
    )
    return replace(bundle, **changes)


def whole_groups(cohort: Cohort, rows: Sequence[int]) -> list[int]:
    """Return rows with all others of their groups, as every stage remembers them."""
    return [*rows, *partners(cohort, np.array(rows, np.int64)).tolist()]


def union(*groups: Sequence[int]) -> list[int]:
    """Return each row once, as `synth select` adds what the filters saw to what the network saw."""
    return list(dict.fromkeys(row for group in groups for row in group))


@st.composite
def hospitals(draw: st.DrawFn, *, max_size: int = 14) -> list[Photograph]:
    """Some photographs of few patients, each patient in one fold or external."""
    count = draw(st.integers(2, max_size))
    names = draw(st.permutations([f"{number:064x}" for number in range(count)]))
    folds = draw(st.lists(st.sampled_from([0, 0, 1, 2, NO_FOLD]), min_size=count, max_size=count))
    patients = draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
    return [
        Photograph(name, patient, label if folds[patient] != NO_FOLD else 0, folds[patient])
        for name, patient, label in zip(names, patients, labels, strict=True)
    ]


def subset(draw: st.DrawFn, count: int, *, min_size: int = 0) -> list[int]:
    if not count:
        return []
    return draw(st.lists(st.integers(0, count - 1), unique=True, max_size=count, min_size=min(min_size, count)))


def test_sets(cohort: Cohort) -> list[np.ndarray]:
    """Return the rows of every test set of a cohort: those of each fold, and the external one."""
    sets = [balanced_test_set(cohort, fold) for fold in range(FOLDS)]
    sets += [parts(cohort, fold).test for fold in range(FOLDS)]
    return [*sets, external_test_set(cohort)[0]]


test_sets.__test__ = False  # a function of ours, not a test


def check_guard(bundle: Bundle, cohort: Cohort, photographs: Sequence[Photograph], expected: Sequence[bool]) -> None:
    """Hold that of each test set so many are counted as `expected` says for each photograph, and any are refused."""
    for rows in test_sets(cohort):
        count = sum(expected[row] for row in rows)
        assert count_seen([seen_by_bundle(bundle)], cohort, rows)["any"] == count
        if count:
            with pytest.raises(
                UserError, match=rf"^m: {count} of the {len(rows)} images of the set test set were seen"
            ):
                refuse_seen([seen_by_bundle(bundle)], cohort, rows, model=Path("m"), test_set="set")
        else:
            refuse_seen([seen_by_bundle(bundle)], cohort, rows, model=Path("m"), test_set="set")


MANY = settings(max_examples=300)


@MANY
@given(st.data())
def test_a_test_image_is_refused_exactly_when_it_or_its_patient_was_seen(data: st.DataObject) -> None:
    photographs = data.draw(hospitals())
    count = len(photographs)
    gan, filters, reference = (subset(data.draw, count) for _ in range(3))
    cohort = cohort_of(photographs, numbers_of(photographs))
    rows = union(gan, filters, reference)
    expected = [
        any(was_seen(each, [photographs[row] for row in part]) for part in (gan, filters, reference))
        for each in photographs
    ]
    check_guard(bundle_of(cohort, rows), cohort, photographs, expected)


@MANY
@given(st.data())
def test_so_it_is_when_the_cohort_was_prepared_again_and_all_that_was_seen_is_in_it(data: st.DataObject) -> None:
    """Other photographs may be gone or new, which numbers the groups anew; a new one may also join two patients."""
    everyone = data.draw(hospitals())
    first = [everyone[row] for row in subset(data.draw, len(everyone), min_size=1)]
    seen = subset(data.draw, len(first))
    one = data.draw(st.sampled_from(everyone))
    other = data.draw(st.sampled_from([each for each in everyone if each.fold == one.fold]))

    def joined(each: Photograph) -> Photograph:
        return replace(each, patient=other.patient) if each.patient == one.patient else each

    seen_by = [joined(first[row]) for row in seen]
    again = [each for each in map(joined, everyone) if each in seen_by or data.draw(st.booleans())]
    old = cohort_of(first, numbers_of(first))
    new = cohort_of(again, numbers_of(again), size=16, sha256="b")
    check_guard(bundle_of(old, seen), new, again, [was_seen(each, seen_by) for each in again])


@MANY
@given(st.data())
def test_photographs_that_are_gone_leave_nobody_unknown(data: st.DataObject) -> None:
    """All of a patient in the first cohort are known, whatever of what was seen is left, however it is numbered."""
    first = data.draw(hospitals())
    seen = subset(data.draw, len(first))
    again = [first[row] for row in subset(data.draw, len(first), min_size=1)]
    old = cohort_of(first, numbers_of(first))
    new = cohort_of(again, numbers_of(again), size=16, sha256="b")
    expected = [was_seen(each, [first[row] for row in seen]) for each in again]
    check_guard(bundle_of(old, whole_groups(old, seen)), new, again, expected)


@MANY
@given(st.data())
def test_new_photographs_are_known_by_those_of_their_patient(data: st.DataObject) -> None:
    """A new photograph counts as seen when any of its patient that was in the first cohort is in this one."""
    everyone = data.draw(hospitals())
    first, again = ([everyone[row] for row in subset(data.draw, len(everyone), min_size=1)] for _ in range(2))
    seen = subset(data.draw, len(first))
    old = cohort_of(first, numbers_of(first))
    patients = {first[row].patient for row in seen}
    named = {each.patient for each in again if each in first and each.patient in patients}
    new = cohort_of(again, numbers_of(again), size=16, sha256="b")
    check_guard(bundle_of(old, whole_groups(old, seen)), new, again, [each.patient in named for each in again])


@MANY
@given(hospitals(), st.integers(0, FOLDS - 1), st.integers(0, FOLDS - 1))
def test_a_generator_that_kept_to_its_fold_is_refused_on_every_other(
    photographs: list[Photograph], fold: int, other: int
) -> None:
    cohort = cohort_of(photographs, numbers_of(photographs))
    split = parts(cohort, fold)
    seen = [*split.train, *split.validation]
    for again in (cohort, cohort_of(photographs[::-1], numbers_of(photographs[::-1]), size=16, sha256="b")):
        rows = parts(again, other).test
        expected = len(rows) if other != fold else 0
        assert count_seen([seen_by_bundle(bundle_of(cohort, seen))], again, rows)["any"] == expected
        assert count_seen([seen_by_fit(cohort, np.array(seen, np.int64))], again, rows)["any"] == expected


def run(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, list(map(str, arguments)))


def done(command: Any, *arguments: object) -> str:
    """Return what a command that ended well said."""
    result = run(command, *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stderr


def refused(*arguments: object) -> str:
    """Return the one sentence with which `classify` ended in exit code 2."""
    result = run(classify, *arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("note: ", "warning: "))]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert lines[0].endswith(".")
    return lines[0]


def photograph(seed: int) -> Image.Image:
    """Coarse noise on skin: no two are alike."""
    rng = np.random.default_rng(seed)
    layers = [Image.fromarray(rng.normal(size=(n, n)).astype(np.float32)).resize((64, 56), 3) for n in (4, 8, 16)]
    grey = sum(np.asarray(layer) for layer in layers)[..., None] * (25, 20, 15)
    return Image.fromarray(np.clip(grey + np.array((190, 140, 120)), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Clinic:
    """A folder of photographs, what is prepared and fitted from it, and who is on which photograph."""

    place: Path
    patient: dict[str, str]  # by the photograph's path

    def prepare(self, name: str, size: int, *options: object) -> Cohort:
        path = self.place / name
        folders = ("--positive", self.place / "herpeticum", "--negative", self.place / "eczema")
        table = ("--csv", self.place / "patients.csv", "--folds", FOLDS)
        done(synth, "prepare", *folders, *table, "--size", size, "--out", path, *options)
        return read_cohort(path)

    def count(self, seen: Sequence[str], cohort: Cohort, rows: Sequence[int]) -> int:
        """Return how many of `rows` are, or are of a patient of, one of the photographs `seen`."""
        patients = {self.patient[path] for path in seen}
        return sum(self.patient[cohort.source_path[row]] in patients for row in rows)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    """36 photographs, of which two always show one patient: one of each class, or two of one."""
    place, patient = tmp_path_factory.mktemp("clinic"), {}
    for number in range(36):
        folder = "herpeticum" if number % 9 < 4 else "eczema"
        (place / folder).mkdir(exist_ok=True)
        photograph(number).save(place / folder / f"{number:02d}.png")
        patient[f"{folder}/{number:02d}.png"] = f"p{number // 2}"
    rows = "".join(f"{path},{name}\n" for path, name in patient.items())
    (place / "patients.csv").write_text(f"file,group\n{rows}")
    return Clinic(place, patient)


@pytest.fixture(scope="module")
def cohort(clinic: Clinic) -> Cohort:
    return clinic.prepare("small.h5", 32)


@pytest.fixture(scope="module")
def larger(clinic: Clinic) -> Cohort:
    return clinic.prepare("larger.h5", 48)


@pytest.fixture(scope="module")
def seen(cohort: Cohort) -> list[str]:
    """The photographs that a strict GAN of fold 0 and its filters see: the positives of train and validation."""
    split = parts(cohort, 0)
    rows = [*split.train, *split.validation]
    return sorted(str(cohort.source_path[row]) for row in rows if cohort.label[row] == 1)


@pytest.fixture(scope="module")
def bundles(clinic: Clinic, cohort: Cohort, seen: list[str]) -> dict[int, Path]:
    """A bundle of fold 0, and one that was made of the same network but says that it is of fold 1."""
    rows = [cohort.source_path.tolist().index(path) for path in seen]
    paths = {fold: clinic.place / f"bundle{fold}.h5" for fold in (0, 1)}
    for fold, path in paths.items():
        write_bundle(path, bundle_of(cohort, rows, fold=fold))
        assert set(read_bundle(path).seen_image_id) == set(cohort.image_id[rows])
    return paths


def fit(clinic: Clinic, cohort: Cohort, bundle: Path, fold: int, out: str) -> tuple[object, ...]:
    options = ("--ratio", "1:2", "--epochs", 1, "--device", "cpu", "--offline", "--fold", fold)
    return ("fit", cohort.path, "--bundle", bundle, "--out", clinic.place / out, *options)


@pytest.fixture(scope="module")
def honest(clinic: Clinic, cohort: Cohort, bundles: dict[int, Path]) -> Path:
    assert "warning" not in done(classify, *fit(clinic, cohort, bundles[0], 0, "honest"))
    return clinic.place / "honest"


@pytest.fixture(scope="module")
def leaky(clinic: Clinic, cohort: Cohort, bundles: dict[int, Path], seen: list[str]) -> Path:
    said = done(classify, *fit(clinic, cohort, bundles[1], 1, "leaky"))
    count = clinic.count(seen, cohort, parts(cohort, 1).test)
    assert f"warning: {count} test images of fold 1 were seen" in said
    return clinic.place / "leaky"


def evaluate(model: Path, cohort: Cohort, records: Path, *options: object) -> tuple[object, ...]:
    return ("evaluate", model, "--cohort", cohort.path, "--records", records, "--device", "cpu", *options)


def test_the_same_photographs_at_another_size(cohort: Cohort, larger: Cohort) -> None:
    assert (cohort.size, larger.size) == (32, 48)
    assert cohort.sha256 != larger.sha256
    for name in ("image_id", "group_id", "fold", "label", "source_path"):
        assert getattr(cohort, name).tolist() == getattr(larger, name).tolist()


def guard(model: Path, cohort: Cohort, fold: int) -> str:
    """Return what the guard says of a model's folder and the balanced test set of a cohort, "" when all is well."""
    try:
        rows = balanced_test_set(cohort, fold)
        refuse_seen(read_model(model).seen, cohort, rows, model=model, test_set="balanced")
    except UserError as error:
        return str(error)
    return ""


def test_the_right_fold_is_evaluated_and_the_guard_knows_it_at_either_size(
    honest: Path, cohort: Cohort, larger: Cohort, tmp_path: Path
) -> None:
    records = tmp_path / "r.jsonl"
    done(classify, *evaluate(honest, cohort, records))
    (record,) = read_records(records)
    assert (record["allow_seen"], record["seen"]) == (False, 0)
    assert record["n"] == len(balanced_test_set(cohort, 0)) > 0
    assert guard(honest, larger, 0) == ""
    assert "honest: fitted on another cohort than" in refused(*evaluate(honest, larger, records))


def test_a_bundle_of_another_fold_does_not_fit(
    clinic: Clinic, cohort: Cohort, bundles: dict[int, Path], tmp_path: Path
) -> None:
    told = refused(*fit(clinic, cohort, bundles[0], 1, "none"))
    assert "--bundle: none fits class herpeticum, fold 1 under protocol strict" in told
    assert not (clinic.place / "none").exists()


def test_another_fold_is_refused_at_either_size_unless_it_is_allowed(
    clinic: Clinic, leaky: Path, cohort: Cohort, larger: Cohort, seen: list[str], tmp_path: Path
) -> None:
    records = tmp_path / "records.jsonl"
    for each in (cohort, larger):
        rows = balanced_test_set(each, 1)
        count = clinic.count(seen, each, rows)
        assert 0 < sum(each.source_path[row] in seen for row in rows) < count  # some by their patient alone
        for told in (guard(leaky, each, 1), *([refused(*evaluate(leaky, each, records))] if each is cohort else [])):
            assert f"leaky: {count} of the {len(rows)} images of the balanced test set were seen before" in told
            assert f"({count} by the generator or the selection of its synthetic images)" in told
            assert "--allow-seen" in told
        assert not records.exists()
    done(classify, *evaluate(leaky, cohort, records, "--allow-seen"))
    (record,) = read_records(records)
    assert (record["allow_seen"], record["seen"], record["n"]) == (True, count, len(rows))
    done(classify, "table", records, "--out", tmp_path / "table.md")
    assert f"evaluated with --allow-seen: {count} test images had been seen" in (tmp_path / "table.md").read_text()
    (row,) = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert row["balanced"]["seen"] == count


def test_other_folds_of_the_same_photographs_are_refused(
    clinic: Clinic, honest: Path, cohort: Cohort, seen: list[str], tmp_path: Path
) -> None:
    """Prepared again with another seed, at another size: what was test is not test any more."""
    other = clinic.prepare("other_seed.h5", 48, "--seed", 1)
    assert other.group_id.tolist() == cohort.group_id.tolist()
    rows = balanced_test_set(other, 0)
    split = parts(cohort, 0)
    fitted = [str(cohort.source_path[row]) for row in [*split.train, *split.validation]]
    counts = {name: clinic.count(paths, other, rows) for name, paths in (("fit", fitted), ("bundle", seen))}
    assert len(rows) > counts["fit"] > counts["bundle"] > 0
    told = guard(honest, other, 0)
    assert f"{counts['fit']} of the {len(rows)} images" in told
    assert f"({counts['fit']} by the classifier and {counts['bundle']} by the generator" in told


def test_photographs_that_are_gone_or_new_do_not_hide_what_was_seen(
    clinic: Clinic, leaky: Path, cohort: Cohort, seen: list[str], tmp_path: Path
) -> None:
    """Some that nobody saw are gone and some are new, so that groups have other numbers and folds other members."""
    split = parts(cohort, 1)
    fitted = [str(cohort.source_path[row]) for row in [*split.train, *split.validation]]
    unseen = [path for path in cohort.source_path.tolist() if path not in {*seen, *fitted}]
    assert len(unseen) > 2
    place = tmp_path / "again"
    for path in clinic.patient:
        if path not in unseen[:2]:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes((clinic.place / path).read_bytes())
    patient = dict(clinic.patient)
    for number in range(100, 108):
        path = f"{'eczema' if number % 2 else 'herpeticum'}/{number}.png"
        photograph(number).save(place / path)
        patient[path] = f"p{number}"
    (place / "patients.csv").write_text("file,group\n" + "".join(f"{path},{name}\n" for path, name in patient.items()))
    again = Clinic(place, patient)
    new = again.prepare("new.h5", 48)
    old = dict(zip(cohort.image_id.tolist(), cohort.group_id.tolist(), strict=True))
    numbers = dict(zip(new.image_id.tolist(), new.group_id.tolist(), strict=True))
    assert any(numbers[name] != old[name] for name in numbers.keys() & old.keys())
    rows = balanced_test_set(new, 1)
    counts = [again.count(paths, new, rows) for paths in ([*fitted, *seen], fitted, seen)]
    assert len(rows) > counts[0]
    told = guard(leaky, new, 1)
    assert f"{counts[0]} of the {len(rows)} images" in told
    assert f"({counts[1]} by the classifier and {counts[2]} by the generator" in told
