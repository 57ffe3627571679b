"""What a selection writes and says: the bundle's own account, its audit page, and warnings when there is cause."""

import json

import numpy as np
import pytest
from selections import COUNT

from shared.bundle import read_bundle
from shared.splits import parts
from synth.generate import GenerateOptions, generate
from synth.selecting.audit_page import pages
from synth.selecting.selection import Passes

pytestmark = pytest.mark.usefixtures("small_extractor")


def test_the_same_command_gives_the_same_bytes(run, tmp_path):
    for name in ("a", "b"):
        run(out=tmp_path / name / "bundle.h5")
    files = [sorted(path for path in (tmp_path / name).iterdir() if path.is_file()) for name in ("a", "b")]
    contents = [[path.read_bytes() for path in each] for each in files]
    assert contents[0] == contents[1]
    assert [path.name for path in files[0]] == [
        "bundle.h5",
        "bundle_audit.md",
        "bundle_borders.png",
        "bundle_copies.png",
        "bundle_scores.png",
        "bundle_sheet.png",
    ]


def test_report_counts_every_rule_and_the_control(run, cohort, capsys):
    bundle = run(sigma=1.5)
    said = capsys.readouterr().err
    for rule, verdicts in (
        ("similarity", bundle.candidates["by_similarity"]),
        ("discriminator", bundle.candidates["by_discriminator"]),
        ("union", bundle.candidates["by_similarity"] | bundle.candidates["by_discriminator"]),
        ("intersection", bundle.candidates["by_similarity"] & bundle.candidates["by_discriminator"]),
    ):
        assert f"{rule:<19} keeps {verdicts.sum()} of {COUNT}; of {bundle.thresholds['control']['n']} held-out" in said
    validation = parts(cohort, 0).validation
    assert bundle.thresholds["control"]["n"] == (cohort.label[validation] == 1).sum() > 0


def test_nothing_selected_is_a_bundle_with_a_warning(run, drawn, capsys):
    bundle = run(candidates=drawn, sigma=0.0, rule="intersection")
    if len(bundle):  # the untrained network's noise must not look like the cohort's red squares
        pytest.fail(f"{len(bundle)} pictures of an untrained network pass the mean of the reals on both scales")
    assert "warning: intersection keeps 0 of 40" in capsys.readouterr().err


@pytest.mark.parametrize(("kept", "warned"), [(0, True), (7, True), (8, False), (40, False)])
def test_scores_that_disagree_are_worth_a_warning(run, capsys, monkeypatch, kept, warned):
    """All 40 pass by similarity, and `kept` by the discriminator."""

    def passes(scores, _):
        every = np.ones(len(scores.similarity), bool)
        return Passes(every, every & (np.arange(len(every)) < kept), every)

    monkeypatch.setattr("synth.select.passes", passes)
    monkeypatch.setattr("synth.selecting.selection.passes", passes)
    run()
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"warning: the two scores disagree, 40 against {kept} of 40: by the discriminator score few" in said
    ) == warned


def test_everything_selected_is_worth_a_warning(run, capsys):
    bundle = run(sigma=1000.0)
    assert len(bundle) == COUNT - bundle.candidates["is_copy"].sum() - bundle.candidates["is_twin"].sum()
    said = " ".join(capsys.readouterr().err.split())
    assert bundle.candidates["by_discriminator"].all()
    assert f"warning: the discriminator rejects 0 of {COUNT}, so it does nothing here." in said


def test_bundle_says_how_it_was_made_in_json(run):
    bundle = run()
    for value in (
        bundle.generator,
        bundle.quality,
        bundle.features,
        bundle.thresholds,
        bundle.memorization,
        bundle.audit,
    ):
        assert json.loads(json.dumps(value, allow_nan=False)) == value


def test_shareable_is_written_with_its_reason(run, monkeypatch, tmp_path):
    monkeypatch.setattr("synth.selecting.audit.shareable", lambda *_: (True, "because"))
    run(require_shareable=True)
    bundle = read_bundle(tmp_path / "bundle.h5")
    assert (bundle.shareable, bundle.shareable_reason) == (True, "because")


def test_a_selection_that_is_stopped_leaves_no_page_of_another_bundle(run, tmp_path, monkeypatch):
    run()
    before = (tmp_path / "bundle.h5").read_bytes()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("synth.select.write_bundle", stop)
        with pytest.raises(KeyboardInterrupt):
            run(sigma=1.0, force=True)
    assert (tmp_path / "bundle.h5").read_bytes() == before
    assert not any(path.exists() for path in pages(tmp_path / "bundle.h5"))
    with monkeypatch.context() as patch:
        patch.setattr("synth.select.write_pages", stop)
        with pytest.raises(KeyboardInterrupt):
            run(sigma=1.0, force=True)
    assert read_bundle(tmp_path / "bundle.h5").sigma == 1.0


def test_names_from_files_are_no_formulas(run, cohort, make_network, tmp_path):
    network = make_network(class_name="$\\frac{ *b* | <i>")
    candidates = tmp_path / "odd.h5"
    generate(GenerateOptions(network=network, out=candidates, count=4))
    run(network=network, candidates=candidates, out=tmp_path / "my x (1).h5", sigma=1000.0)
    page = (tmp_path / "my x (1)_audit.md").read_text()
    assert "(my%20x%20%281%29_scores.png)" in page
    assert "\\*b\\* \\| \\<i\\>" in page


def test_before_and_after_are_of_equal_numbers(run):
    diversity = run(sigma=1.5).audit["diversity"]
    assert diversity["photographs"]["n"] == diversity["candidates"]["n"] > 0
    assert len({each["n"] for each in diversity.values() if each["n"]}) == 1
    assert len({each["n_vendi"] for each in diversity.values()}) == 1


def test_the_page_says_what_the_bundle_does(run, tmp_path):
    bundle = run(sigma=1.5)
    page = (tmp_path / "bundle_audit.md").read_text()
    counts = bundle.audit["counts"]
    assert f"**{len(bundle)} of {COUNT}** candidates of herpeticum" in page
    for rule, count in counts["kept_by_rule"].items():
        name = f"**{rule}**" if rule == "union" else rule
        assert f"| {name} | {count} ({100 * count / COUNT:.0f} %) |" in page
    by = {name: ~bundle.candidates[f"by_{name}"] for name in ("similarity", "discriminator")}
    assert counts["rejected"]["both"] == (by["similarity"] & by["discriminator"]).sum()
    assert f"by at least one: {(by['similarity'] | by['discriminator']).sum()};" in page
    assert counts["copies"] == bundle.candidates["is_copy"].sum() >= 2
    assert f"Copies: {counts['copies']}, rejected whatever the rule." in page
    assert bundle.shareable_reason in page
    for row in np.flatnonzero(bundle.candidates["is_copy"]):
        distance = bundle.candidates["nearest_distance"][row]
        assert f"| {bundle.candidates['seed'][row]} | {distance:.2f} | " in page
    for warning in bundle.audit["warnings"]:
        assert f"- Warning: {warning}" in page
    for path in pages(tmp_path / "bundle.h5")[1:]:
        assert f"]({path.name})" in page
    for line in bundle.audit["mix"]:
        assert line["kept"] <= line["candidates"]
    assert sum(line["candidates"] for line in bundle.audit["mix"]) == COUNT


def test_fewer_than_are_to_be_kept_is_said(run, capsys):
    kept = len(run(rule="typical-and-diverse", keep=1000))
    assert f"warning: --keep 1000: no more than {kept} are there." in capsys.readouterr().err
