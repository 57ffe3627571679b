"""Selection: each rule's set by its definition, what is compared with what, and what the network has seen."""

import dataclasses

import numpy as np
import pytest
import torch
from runs import colours
from selections import COPIES, COUNT

from shared.bundle import read_bundle, read_candidates, write_candidates
from shared.cohort import STUDY, read_cohort, write_cohort
from shared.errors import UserError
from shared.splits import parts
from stylegan2_ada import load_networks
from synth.generate import GenerateOptions, generate
from synth.selecting.logits import choose_partners, discriminator_logits
from synth.selecting.scoring import reference_rows

pytestmark = pytest.mark.usefixtures("small_extractor")


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


def test_a_second_selection_looks_at_the_photographs_no_more(run, monkeypatch, tmp_path):
    first = run()
    looked = []
    monkeypatch.setattr("synth.scores.quality.to_features", lambda images, extractor: looked.append(len(images)))
    second = run(out=tmp_path / "second.h5", sigma=1.0)
    assert looked == []
    assert first.candidates["similarity"].tolist() == second.candidates["similarity"].tolist()
