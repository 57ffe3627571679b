import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import colours, colours_extractor

from shared.bundle import Bundle, read_bundle, read_candidates, write_candidates
from shared.cohort import STUDY, Cohort, read_cohort, write_cohort
from shared.errors import UserError
from shared.splits import parts
from stylegan2_ada import load_networks
from synth.generate import GenerateOptions, generate
from synth.select import select
from synth.selecting.audit_page import pages
from synth.selecting.logits import choose_partners, discriminator_logits
from synth.selecting.options import SelectOptions
from synth.selecting.scoring import reference_rows
from synth.selecting.selection import Passes

COUNT = 40
COPIES = [8, 20]


@pytest.fixture(autouse=True)
def small_extractor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.selecting.scored.open_extractor", lambda *_, **__: colours_extractor())


@pytest.fixture(scope="module")
def drawn(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Candidates of a network that was never trained."""
    path = tmp_path_factory.mktemp("candidates") / "candidates.h5"
    generate(GenerateOptions(network=run_folder, out=path, count=COUNT))
    return path


@pytest.fixture(scope="module")
def mixed(drawn: Path, cohort: Cohort) -> Path:
    """Candidates of which a quarter are like the reals, so that some pass, and two are copies of reals."""
    candidates = read_candidates(drawn)
    images = np.array(candidates.images)
    images[::4] = np.random.default_rng(1).integers(60, 160, (COUNT // 4, *images.shape[1:]), dtype=np.uint8)
    images[::4, :, :, 0] += 80
    rows = parts(cohort, 0).train
    reals = cohort.images[rows[cohort.label[rows] == 1]]
    images[COPIES] = reals[2], reals[5, :, ::-1]
    path = drawn.with_name("mixed.h5")
    write_candidates(path, dataclasses.replace(candidates, images=images))
    return path


@pytest.fixture
def run(run_folder: Path, cohort: Cohort, mixed: Path, tmp_path: Path) -> Callable[..., Bundle]:
    def call(**options: object) -> Bundle:
        defaults = {"candidates": mixed, "cohort": cohort.path, "network": run_folder, "out": tmp_path / "bundle.h5"}
        return select(SelectOptions(**(defaults | options)))

    return call


def test_bundle_is_what_the_definition_gives(run, run_folder, cohort, mixed, tmp_path):
    run(sigma=1.5)
    bundle, candidates = read_bundle(tmp_path / "bundle.h5"), read_candidates(mixed)
    rows = parts(cohort, 0).train
    rows = rows[cohort.label[rows] == 1]
    reals, images = cohort.images[rows], np.asarray(candidates.images)

    features = [colours(torch.tensor(each)).double().numpy() for each in (reals, images)]
    mean = features[0].mean(axis=0)
    cosines = [each @ mean / np.linalg.norm(each, axis=1) / np.linalg.norm(mean) for each in features]
    D = load_networks(run_folder / "network.safetensors").D.eval()
    partners = choose_partners(reals, D.config.mbstd_group_size, seed=0)
    logits = [discriminator_logits(D, each, partners) for each in (reals, images)]
    np.testing.assert_allclose(bundle.reference["similarity"], cosines[0], rtol=1e-5)
    np.testing.assert_allclose(bundle.candidates["similarity"], cosines[1], rtol=1e-5)
    np.testing.assert_allclose(bundle.reference["discriminator"], logits[0], rtol=1e-5)
    np.testing.assert_allclose(bundle.candidates["discriminator"], logits[1], rtol=1e-5)
    for name, column in (("similarity", cosines), ("discriminator", logits)):
        threshold = column[0].mean() - 1.5 * column[0].std()
        assert bundle.thresholds[name] == pytest.approx(threshold, rel=1e-4)
        np.testing.assert_array_equal(
            bundle.candidates[f"by_{name}"], bundle.candidates[name] >= bundle.thresholds[name]
        )
    passing = bundle.candidates["by_similarity"] | bundle.candidates["by_discriminator"]
    selected = passing & ~bundle.candidates["is_copy"] & ~bundle.candidates["is_twin"]
    np.testing.assert_array_equal(bundle.candidates["selected"], selected)
    assert passing[COPIES].any()
    assert bundle.candidates["is_copy"][COPIES].all()
    assert 0 < selected.sum() < COUNT
    np.testing.assert_array_equal(np.asarray(bundle.images), images[selected])
    np.testing.assert_array_equal(bundle.seed, candidates.seed[selected])
    assert bundle.reference["image_id"].tolist() == cohort.image_id[rows].tolist()
    assert bundle.features["extractor"] == "colours"
    np.testing.assert_array_equal(
        bundle.candidates["nearest_distance"],
        np.minimum(bundle.candidates["trained_distance"], bundle.candidates["held_out_distance"]),
    )
    away = np.linalg.norm(features[1][:, None] - features[0], axis=2).min(axis=1)  # turning changes no colour
    np.testing.assert_allclose(bundle.candidates["trained_distance"], away, rtol=1e-4, atol=1e-4)
    copied = rows[[2, 5]]
    assert bundle.seen_image_id[bundle.candidates["nearest"][COPIES]].tolist() == cohort.image_id[copied].tolist()
    assert (bundle.rule, bundle.sigma, bundle.cohort) == ("union", 1.5, cohort.sha256)


@pytest.mark.parametrize("rule", ["intersection", "similarity", "discriminator", "typical-and-diverse"])
def test_each_rule_keeps_its_set(run, rule):
    kept = run(rule=rule).candidates
    expected = {
        "intersection": kept["by_similarity"] & kept["by_discriminator"],
        "similarity": kept["by_similarity"],
        "discriminator": kept["by_discriminator"],
        "typical-and-diverse": kept["by_typicality"],
    }
    np.testing.assert_array_equal(kept["selected"], expected[rule] & ~kept["is_copy"] & ~kept["is_twin"])


def test_scores_do_not_depend_on_the_other_candidates(run, mixed, tmp_path):
    whole = run().candidates
    candidates = read_candidates(mixed)
    order = np.random.default_rng(0).permutation(COUNT)[:15]
    part = tmp_path / "part.h5"
    write_candidates(
        part,
        dataclasses.replace(candidates, images=np.asarray(candidates.images)[order], seed=candidates.seed[order]),
    )
    partial = run(candidates=part, out=tmp_path / "part_bundle.h5").candidates
    for name in ("similarity", "discriminator", "typicality", "nearest_distance", "typology_angle"):
        np.testing.assert_allclose(partial[name], whole[name][order], rtol=1e-5, atol=1e-6)
    for name in ("is_copy", "nearest", "by_typicality"):
        assert partial[name].tolist() == whole[name][order].tolist()


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


def test_seen_is_what_the_network_and_the_filter_saw(run, cohort, make_network, tmp_path):
    split = parts(cohort, 0)
    rows = np.concatenate([split.train, split.validation])
    rows = rows[cohort.label[rows] == 1]
    bundle = run()
    assert set(bundle.seen_image_id) == set(cohort.image_id[rows])
    assert len(bundle.seen_image_id) == len(rows)
    assert not set(bundle.seen_image_id) & set(cohort.image_id[split.test])

    few = rows[:3]  # a network that saw less than the filter's reference
    network = make_network(seen_image_id=cohort.image_id[few].tolist(), seen_group_id=cohort.group_id[few].tolist())
    candidates = tmp_path / "few.h5"
    generate(GenerateOptions(network=network, out=candidates, count=4))
    bundle = run(network=network, candidates=candidates, out=tmp_path / "few_bundle.h5")
    groups = dict(zip(cohort.image_id.tolist(), cohort.group_id.tolist(), strict=True))
    assert {each: groups[each] for each in bundle.seen_image_id.tolist()} == dict(
        zip(bundle.seen_image_id.tolist(), bundle.seen_group_id.tolist(), strict=True)
    )
    assert bundle.seen_image_id[:3].tolist() == cohort.image_id[few].tolist()
    assert set(bundle.seen_image_id) == set(cohort.image_id[rows])


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


def test_paper_protocol_takes_all_positives_and_has_no_control(run, cohort, make_network, tmp_path):
    rows = np.flatnonzero((cohort.role == STUDY) & (cohort.label == 1))
    network = make_network(
        protocol="paper",
        fold=-1,
        seen_image_id=cohort.image_id[rows].tolist(),
        seen_group_id=cohort.group_id[rows].tolist(),
    )
    candidates = tmp_path / "paper.h5"
    generate(GenerateOptions(network=network, out=candidates, count=4))
    bundle = run(network=network, candidates=candidates)
    assert bundle.reference["image_id"].tolist() == cohort.image_id[rows].tolist()
    assert not bundle.shareable
    assert "photographs of 0 patients were held out" in bundle.shareable_reason
    assert bundle.thresholds["control"] == {"n": 0, "kept": dict.fromkeys(bundle.thresholds["control"]["kept"], 0)}
    assert (bundle.protocol, bundle.fold) == ("paper", -1)


def test_a_conditional_network_selects_for_the_class_drawn(run, cohort, make_network, tmp_path):
    split = parts(cohort, 0)
    rows = np.concatenate([split.train, split.validation])
    network = make_network(
        c_dim=2, seen_image_id=cohort.image_id[rows].tolist(), seen_group_id=cohort.group_id[rows].tolist()
    )
    candidates = tmp_path / "negatives.h5"
    generate(GenerateOptions(network=network, out=candidates, count=4, class_index=0))
    bundle = run(network=network, candidates=candidates)
    negatives = split.train[cohort.label[split.train] == 0]
    reals = cohort.images[negatives]
    D = load_networks(network / "network.safetensors").D.eval()
    partners = choose_partners(reals, D.config.mbstd_group_size, seed=0)
    expected = discriminator_logits(D, reals, partners, class_index=0)
    assert bundle.reference["image_id"].tolist() == cohort.image_id[negatives].tolist()
    np.testing.assert_allclose(bundle.reference["discriminator"], expected, rtol=1e-5)
    assert (bundle.label, bundle.class_name) == (0, "eczema")


def test_reference_and_control_are_parts_of_one_class(cohort):
    for fold in range(3):
        reference, control = reference_rows(cohort, 1, fold, "strict")
        split = parts(cohort, fold)
        assert set(reference) == {row for row in split.train if cohort.label[row] == 1}
        assert set(control) == {row for row in split.validation if cohort.label[row] == 1}


def test_another_cohort_is_refused(run, cohort, tmp_path):
    other = tmp_path / "other.h5"
    write_cohort(other, dataclasses.replace(cohort, seed=1))
    with pytest.raises(UserError, match=r"--cohort .*not the cohort"):
        run(cohort=other)


def test_no_candidate_is_refused(run, mixed, tmp_path):
    candidates, path = read_candidates(mixed), tmp_path / "none.h5"
    none = {"images": np.asarray(candidates.images)[:0], "seed": candidates.seed[:0]}
    write_candidates(path, dataclasses.replace(candidates, **none))
    with pytest.raises(UserError, match="holds no images to select from"):
        run(candidates=path)


def test_another_network_is_refused(run, make_network):
    with pytest.raises(UserError, match=r"--network .*did not draw"):
        run(network=make_network(seed=1))


def test_a_diverged_network_is_refused(run, make_network, monkeypatch):
    monkeypatch.setattr(
        "synth.selecting.scoring.discriminator_logits", lambda D, images, *_, **__: np.full(len(images), np.nan)
    )
    with pytest.raises(UserError, match="not finite"):
        run()


@pytest.mark.parametrize("existing", ["bundle.h5", *(path.name for path in pages(Path("bundle.h5")))])
def test_existing_output_needs_force(run, tmp_path, existing):
    (tmp_path / existing).write_bytes(b"mine")
    with pytest.raises(UserError, match=f"{existing}: exists already"):
        run()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"mine"]
    run(force=True)
    assert (tmp_path / existing).read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"sigma": -1.0}, "--sigma -1"),
        ({"sigma": float("inf")}, "--sigma inf"),
        ({"rule": "xor"}, "--rule xor"),
        ({"gate": 1.5}, "--gate 1.5"),
        ({"gate": float("nan")}, "--gate nan"),
        ({"reference": "test"}, "--reference test"),
        ({"keep": 5}, "--keep 5: --rule union has no order; give --rule typical-and-diverse"),
        ({"keep": 0, "rule": "typical-and-diverse"}, "--keep 0"),
        ({"seed": -1}, "--seed -1"),
        ({"candidates": Path("nowhere.h5")}, r"nowhere\.h5"),
    ],
)
def test_bad_options(run, tmp_path, asked, reason):
    with pytest.raises(UserError, match=reason):
        run(**asked)
    assert list(tmp_path.iterdir()) == []


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


def test_the_other_part_may_set_the_thresholds(run, cohort, make_network, tmp_path):
    with pytest.raises(UserError, match="2 images of herpeticum in the validation part, of fewer than two patients"):
        run(reference="validation")
    apart = tmp_path / "apart.h5"  # every photograph of another patient
    sha256 = write_cohort(apart, dataclasses.replace(cohort, group_id=np.arange(len(cohort.label))))
    network, candidates = make_network(cohort=sha256), tmp_path / "of_apart.h5"
    generate(GenerateOptions(network=network, out=candidates, count=8))
    split = parts(read_cohort(apart), 0)
    bundle = run(reference="validation", cohort=apart, network=network, candidates=candidates)
    validation, train = (rows[cohort.label[rows] == 1] for rows in (split.validation, split.train))
    assert bundle.reference["image_id"].tolist() == cohort.image_id[validation].tolist()
    assert bundle.thresholds["reference"] == "validation"
    assert bundle.thresholds["control"]["n"] == len(train)
    assert bundle.memorization["photographs"] == len(train) + len(validation)  # whatever sets the thresholds


def test_the_papers_protocol_has_no_validation_part(run, cohort, make_network, tmp_path):
    network = make_network(protocol="paper", fold=-1)
    candidates = tmp_path / "paper.h5"
    generate(GenerateOptions(network=network, out=candidates, count=4))
    with pytest.raises(UserError, match="--reference validation: the paper's protocol holds nothing out"):
        run(network=network, candidates=candidates, reference="validation")


def test_typical_and_diverse_is_nested_and_in_its_order(run, mixed, tmp_path):
    candidates = read_candidates(mixed)
    more, fewer = (
        run(rule="typical-and-diverse", sigma=1000.0, keep=keep, out=tmp_path / f"{keep}.h5") for keep in (12, 5)
    )
    assert (len(more), len(fewer)) == (12, 5)
    assert more.seed[:5].tolist() == fewer.seed.tolist()
    rows = [int(np.flatnonzero(candidates.seed == seed)[0]) for seed in more.seed]
    np.testing.assert_array_equal(np.asarray(more.images), np.asarray(candidates.images)[rows])
    assert more.candidates["order"][rows].tolist() == list(range(12))
    assert (more.candidates["order"] >= 0).sum() == 12
    features = colours(torch.tensor(np.asarray(candidates.images))).double().numpy()
    eligible = np.flatnonzero(
        more.candidates["by_typicality"] & ~more.candidates["is_copy"] & ~more.candidates["is_twin"]
    )
    for place in range(1, 12):  # each is farthest from those before
        away = np.linalg.norm(features[eligible][:, None] - features[rows[:place]], axis=2).min(axis=1)
        assert away[eligible.tolist().index(rows[place])] == pytest.approx(away.max(), rel=1e-5)


def test_twins_are_left_out_whatever_the_rule(run, mixed, tmp_path):
    candidates = read_candidates(mixed)
    images = np.array(candidates.images)
    images[4] = np.rot90(images[0])
    images[12] = images[0]
    path = tmp_path / "twins.h5"
    write_candidates(path, dataclasses.replace(candidates, images=images))
    kept = run(candidates=path, sigma=1000.0).candidates
    assert kept["is_twin"][[4, 12]].all()
    assert kept["selected"][0]


def test_whoever_requires_it_gets_nothing_that_is_not_shareable(run, tmp_path):
    with pytest.raises(
        UserError, match=r"--require-shareable: the generator draws copies: 3 of 40 .* no bundle is written"
    ):
        run(require_shareable=True)
    assert [path.name for path in tmp_path.iterdir()] == [".features"]


def test_shareable_is_written_with_its_reason(run, monkeypatch, tmp_path):
    monkeypatch.setattr("synth.selecting.audit.shareable", lambda *_: (True, "because"))
    run(require_shareable=True)
    bundle = read_bundle(tmp_path / "bundle.h5")
    assert (bundle.shareable, bundle.shareable_reason) == (True, "because")


def test_photographs_that_the_start_saw_elsewhere_are_counted(run, cohort, make_network, tmp_path):
    split = parts(cohort, 0)
    rows = np.concatenate([split.train, split.validation])
    rows = rows[cohort.label[rows] == 1]
    network = make_network(
        seen_image_id=["f" * 64, *cohort.image_id[rows].tolist()], seen_group_id=[-1, *cohort.group_id[rows].tolist()]
    )
    candidates = tmp_path / "elsewhere.h5"
    generate(GenerateOptions(network=network, out=candidates, count=8))
    bundle = run(network=network, candidates=candidates)
    assert not bundle.shareable
    assert bundle.shareable_reason.startswith("its generator saw photographs that are not in this cohort (1)")


def test_what_the_start_saw_of_other_parts_is_compared_with(run, cohort, make_network, tmp_path):
    """Test images of the fold, which a network of another fold was trained on that this one began with."""
    split = parts(cohort, 0)
    rows = np.concatenate([split.train, split.validation])
    rows, test = (each[cohort.label[each] == 1] for each in (rows, split.test))
    known = np.concatenate([rows, test])
    network = make_network(seen_image_id=cohort.image_id[known].tolist(), seen_group_id=cohort.group_id[known].tolist())
    candidates = tmp_path / "elsewhere.h5"
    generate(GenerateOptions(network=network, out=candidates, count=len(test) + 5))
    drawn = read_candidates(candidates)
    images = np.concatenate([cohort.images[test], np.asarray(drawn.images)[len(test) :]])
    write_candidates(candidates, dataclasses.replace(drawn, images=images))
    bundle = run(network=network, candidates=candidates, sigma=1000.0)
    assert bundle.candidates["is_copy"].tolist() == [True] * len(test) + [False] * 5
    nearest = bundle.seen_image_id[bundle.candidates["nearest"]]
    assert nearest[: len(test)].tolist() == cohort.image_id[test].tolist()
    assert not bundle.shareable
    assert bundle.shareable_reason.startswith(
        f"its generator saw photographs of other parts of the cohort ({len(test)})"
    )


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


def test_a_second_selection_looks_at_the_photographs_no_more(run, monkeypatch, tmp_path):
    first = run()
    looked = []
    monkeypatch.setattr("synth.scores.quality.to_features", lambda images, extractor: looked.append(len(images)))
    second = run(out=tmp_path / "second.h5", sigma=1.0)
    assert looked == []
    assert first.candidates["similarity"].tolist() == second.candidates["similarity"].tolist()


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


def test_what_is_read_is_not_written_over(run, run_folder, cohort, mixed, make_network, tmp_path):
    mine = tmp_path / "mine.h5"
    mine.write_bytes(mixed.read_bytes())
    network = make_network()
    for out, asked in (
        (mine, {"candidates": mine}),
        (cohort.path, {}),
        (network / "network.safetensors", {"network": network}),
    ):
        before = out.read_bytes()
        with pytest.raises(UserError, match=r"what this command reads .*, which would be lost; give another --out"):
            run(out=out, force=True, **asked)
        assert out.read_bytes() == before
    with pytest.raises(UserError, match="what this command reads"):
        generate(GenerateOptions(network=network, out=network / "network.safetensors", count=1, force=True))


def test_fewer_than_are_to_be_kept_is_said(run, capsys):
    kept = len(run(rule="typical-and-diverse", keep=1000))
    assert f"warning: --keep 1000: no more than {kept} are there." in capsys.readouterr().err
