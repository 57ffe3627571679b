"""`synth bundle info`: every field, as JSON and as a table for people."""

import hashlib
import json
import subprocess
import sys

from bundling import COUNT, run

from shared.bundle import read_bundle
from synth.bundles.info import InfoOptions, describe, info


def test_info_of_a_bundle_is_its_fields(bundle_file, run_folder, cohort):
    result = run("info", bundle_file, "--json")
    assert result.exit_code == 0
    about, bundle = json.loads(result.stdout), read_bundle(bundle_file)
    network = hashlib.sha256((run_folder / "network.safetensors").read_bytes()).hexdigest()
    body = hashlib.sha256(bundle_file.read_bytes()[512:]).hexdigest()
    assert about == {
        "file": str(bundle_file),
        "bytes": len(bundle_file.read_bytes()),
        "sha256": body,
        "format": "rarescreen-bundle",
        "version": 1,
        "images": 3,
        "size": 16,
        "class_name": "herpeticum",
        "label": 1,
        "fold": 0,
        "protocol": "strict",
        "cohort": cohort.sha256,
        "seen": {"images": len(set(bundle.seen_image_id)), "groups": len(set(bundle.seen_group_id))},
        "generator": {
            "network": network,
            "gamma": 0.1,
            "target": 0.6,
            "lr": 0.002,
            "kimg": 1.0,
            "truncation": 0.7,
            "noise": "random",
            "class": None,
        },
        "quality": {"name": "Frechet distance (colours)", "value": 12.5},
        "rule": "typical-and-diverse",
        "sigma": 2.5,
        "thresholds": {"similarity": 0.25, "control": {"n": 3, "kept": {"union": 2}}},
        # seeds 100 to 107 and 4000000000: the even ones, those above 100, and 102, 105 as copies (4000000000 = 3k + 1)
        "candidates": {"total": 9, "selected": 3, "by_similarity": 5, "by_discriminator": 8, "is_copy": 2},
        "reference": 4,
        "features": {"extractor": "colours", "weights_sha256": "ef" * 32},
        "shareable": False,
        "shareable_reason": "nobody has looked for copies of photographs",
        "memorization": {},
        "audit": {},
    }
    assert info(InfoOptions(bundle_file)) == describe(bundle_file) == about


def test_info_of_candidates_has_the_same_keys(candidates_file, bundle_file):
    about, selected = describe(candidates_file), describe(bundle_file)
    assert list(about) == list(selected)
    assert (about["format"], about["images"]) == ("rarescreen-candidates", COUNT)
    none = [name for name, value in about.items() if value is None]
    assert none == ["rule", "sigma", "thresholds", "candidates", "reference", "features", "memorization", "audit"]
    assert about["shareable"] is False
    for name in ("cohort", "seen", "generator", "quality", "fold", "protocol", "class_name"):
        assert about[name] == selected[name]


def test_info_is_a_table_for_people(bundle_file, rewrite):
    result = run("info", bundle_file)
    lines = [line.split() for line in result.stdout.splitlines()]
    for line in (
        ["class", "herpeticum"],
        ["is_copy", "2", "of", "9"],
        ["candidates", "selected", "3", "of", "9"],
        ["thresholds.similarity", "0.25"],
        ["truncation", "0.7"],
        ["sharing", "may", "be", "passed", "on", "no"],
        ["because", "nobody", "has", "looked", "for", "copies", "of", "photographs"],
    ):
        assert line in lines
    assert result.stderr == ""
    assert all(line == line.rstrip() for line in result.stdout.splitlines())  # as wide as its words, in a file
    shared_file = rewrite(shareable=True, shareable_reason="no copies were found", fold=-1)
    lines = [line.split() for line in run("info", shared_file).stdout.splitlines()]
    assert ["sharing", "may", "be", "passed", "on", "yes"] in lines
    assert ["fold", "all"] in lines


def test_what_a_file_says_commands_no_terminal(rewrite):
    path = rewrite(class_name="[red]\x1b]0;owned\x07 \u202e", generator={"\x1b[2J": "\x1b[31m", "licence": "[b]MIT"})
    output = run("info", path).stdout
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "[red]" in output
    assert "[b]MIT" in output
    assert json.loads(run("info", path, "--json").stdout)["class_name"] == "[red]\x1b]0;owned\x07 \u202e"


def test_info_needs_no_torch(bundle_file):
    code = "import sys; from synth.bundles.info import describe; describe(sys.argv[1]); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code, bundle_file], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
