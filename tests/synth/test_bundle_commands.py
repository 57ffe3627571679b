"""`synth bundle info`, `export`, `verify`: damaged files, options that make no sense, and help."""

import pytest
from bundling import assert_refused, run


@pytest.mark.parametrize("command", ["info", "export", "verify"])
def test_damaged_and_missing_files_are_one_sentence(command, bundle_file, run_folder, tmp_path):
    rest = {"info": (), "export": ("--png", tmp_path / "png"), "verify": ("--network", run_folder)}[command]
    content = bundle_file.read_bytes()
    for damage, named in (
        (content[:-100], "truncated"),
        (content[:-500] + bytes([content[-500] ^ 1]) + content[-499:], "damaged"),
        (content.replace(b"bundle/1", b"bundle/9", 1), "version 9"),
        (b"", "empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(1000), "not one of Rarescreen's"),
    ):
        (tmp_path / "damaged.h5").write_bytes(damage)
        assert_refused(run(command, tmp_path / "damaged.h5", *rest), "damaged.h5", named)
    assert_refused(run(command, tmp_path / "missing.h5", *rest), "missing.h5", "no such file")
    assert not (tmp_path / "png").exists()


@pytest.mark.parametrize(
    ("command", "asked"),
    [
        ("info", ("--xml",)),
        ("export", ("--pdf", "x")),
        ("verify", ("--network", "x", "--tolerance", "17")),
        ("verify", ("--network", "x", "--tolerance", "-1")),
        ("verify", ("--network", "x", "--batch", "0")),
        ("verify", ("--network", "nowhere")),
        ("verify", ()),
    ],
)
def test_bad_options(bundle_file, command, asked):
    assert_refused(
        run(command, bundle_file, *asked), asked[0] if len(asked) == 1 else asked[-1] if asked else "--network"
    )


@pytest.mark.parametrize("command", ["info", "export", "verify"])
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "FILE" in result.stdout
