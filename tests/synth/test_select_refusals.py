"""What a selection refuses, in one sentence, and that nothing is lost by it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from shared.bundle import read_candidates, write_candidates
from shared.cohort import write_cohort
from shared.errors import UserError
from synth.generate import GenerateOptions, generate
from synth.selecting.audit_page import pages

pytestmark = pytest.mark.usefixtures("small_extractor")


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


def test_the_papers_protocol_has_no_validation_part(run, cohort, make_network, tmp_path):
    network = make_network(protocol="paper", fold=-1)
    candidates = tmp_path / "paper.h5"
    generate(GenerateOptions(network=network, out=candidates, count=4))
    with pytest.raises(UserError, match="--reference validation: the paper's protocol holds nothing out"):
        run(network=network, candidates=candidates, reference="validation")


def test_whoever_requires_it_gets_nothing_that_is_not_shareable(run, tmp_path):
    with pytest.raises(
        UserError, match=r"--require-shareable: the generator draws copies: 3 of 40 .* no bundle is written"
    ):
        run(require_shareable=True)
    assert [path.name for path in tmp_path.iterdir()] == [".features"]


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
