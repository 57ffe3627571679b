#!/usr/bin/env bash
# Whether a built archive installs into an empty environment and works there: away from the source tree, in a folder whose
# name has spaces and other letters than English ones, with a home that cannot be written to, and without a network.
#
#   benchmarks/install.sh ARCHIVE PYTHON highest|lowest-direct
#
# ARCHIVE is a wheel or an sdist of `python -m hatchling build`, PYTHON an interpreter; lowest-direct takes the lowest version
# of every dependency that pyproject.toml declares. Needs uv and, to take the network away, Linux and root (else it says
# that it did not). The last line is "install: ok".
set -euo pipefail

if [ $# -ne 3 ]; then
  sed -n '4,8s/^# *//p' "$0" >&2
  exit 2
fi
ARCHIVE=$(realpath "$1") PYTHON=$2 RESOLUTION=$3
ROOT=$(mktemp -d)
trap 'rm -rf "$ROOT"' EXIT
PLACE="$ROOT/Fotos für die Ärztin"
mkdir -p "$PLACE/photos/selten" "$PLACE/photos/andere"

begin=$SECONDS
uv venv --quiet --python "$PYTHON" "$ROOT/venv"
# The archive's own requirements are named, since only what is named counts as direct.
"$PYTHON" - "$ARCHIVE" > "$ROOT/direct.txt" <<'P'
import email, sys, tarfile, zipfile

path = sys.argv[1]
if path.endswith(".whl"):
    with zipfile.ZipFile(path) as file:
        (name,) = (each for each in file.namelist() if each.endswith(".dist-info/METADATA"))
        text = file.read(name).decode()
else:
    with tarfile.open(path) as file:
        (member,) = (each for each in file if each.name.count("/") == 1 and each.name.endswith("/PKG-INFO"))
        text = file.extractfile(member).read().decode()
print(*(each for each in email.message_from_string(text).get_all("Requires-Dist") if "extra ==" not in each), sep="\n")
P
# The lowest versions that are there for this Python: older ones would have to be compiled.
case $ARCHIVE in *.whl) ready=(--only-binary :all:) ;; *) ready=() ;; esac
uv pip install --quiet --python "$ROOT/venv/bin/python" --resolution "$RESOLUTION" "${ready[@]}" -r "$ROOT/direct.txt" "$ARCHIVE"
"$ROOT/venv/bin/python" - <<'P'
from importlib import metadata
import platform

direct = [each.partition(";")[0] for each in metadata.requires("rarescreen") or [] if "extra ==" not in each]
names = sorted({each.split(">")[0].split("=")[0].split("<")[0].strip() for each in direct})
print(f"Python {platform.python_version()},", ", ".join(f"{n} {metadata.version(n)}" for n in names if n != "tomli"))
P
echo "installed in $((SECONDS - begin)) s"

cat > "$ROOT/job.sh" <<'J'
set -euo pipefail
cd "$1"
touch "$HOME/x" 2>/dev/null && { echo "the home can be written to" >&2; exit 1; }
python - <<'P'
import pathlib, synth, classify, numpy as np
from PIL import Image
assert "site-packages" in synth.__file__ and "site-packages" in classify.__file__, synth.__file__
for kind, count, hue in (("selten", 30, 60), ("andere", 30, 0)):
    for number in range(count):
        pixels = np.random.default_rng(number + hue).integers(60, 160, (40, 56, 3), dtype=np.uint8)
        pixels[..., 0] += np.uint8(hue)
        Image.fromarray(pixels).save(pathlib.Path("photos", kind, f"Aufnahme {number} ü.png"))
P
export OMP_NUM_THREADS=1
step() { local begin=$SECONDS; "$@" 2>"$1.log" || { cat "$1.log"; exit 1; }; echo "$((SECONDS - begin)) s: $*"; }
step synth --version
step synth prepare --positive photos/selten --negative photos/andere --size 32 --folds 3 --out "kohorte 1.h5"
step synth doctor "kohorte 1.h5" --start phantom-skin-32 --kimg 0.1 --offline --device cpu
step synth train "kohorte 1.h5" --start phantom-skin-32 --kimg 0.1 --ema-kimg 0.1 --quality-fakes 48 --fold 0 --offline --device cpu --out "lauf 1"
step synth generate "lauf 1" --count 24 --out "kandidaten ä.h5"
step synth select "kandidaten ä.h5" --cohort "kohorte 1.h5" --network "lauf 1" --sigma 100 --offline --out bundle.h5
step synth bundle verify bundle.h5 --network "lauf 1"
step classify fit "kohorte 1.h5" --bundle bundle.h5 --ratio 1:2 --fold 0 --depth 2 --epochs 1 --offline --out "modell 1"
step classify evaluate "modell 1" --cohort "kohorte 1.h5" --records records.jsonl
step classify fit "kohorte 1.h5" --model efficientnet_lite0 --fold 0 --epochs 1 --offline --out "modell 2"
step classify evaluate "modell 2" --cohort "kohorte 1.h5" --records records.jsonl
step classify table records.jsonl --out "tabelle 2.md"
step synth report "kohorte 1.h5" --run "lauf 1" --bundle bundle.h5 --out bilder.html
step classify report records.jsonl --page bilder.html --out bericht.html
step classify doctor "kohorte 1.h5" --preset demo
python - <<'P'
import pathlib
assert "custom" in pathlib.Path("tabelle 2.md").read_text(encoding="utf-8").lower()
assert "<h1>" in pathlib.Path("bericht.html").read_text(encoding="utf-8")
P
J
begin=$SECONDS
HOME_MADE="$ROOT/home"
mkdir "$HOME_MADE"
RUN=(env -i "PATH=$ROOT/venv/bin:/usr/bin:/bin" "HOME=$HOME_MADE" LANG=C.UTF-8 bash "$ROOT/job.sh" "$PLACE")
if unshare --net --mount true 2>/dev/null; then
  # shellcheck disable=SC2016
  unshare --net --mount bash -c 'mount -t tmpfs -o ro tmpfs "$0"; exec "$@"' "$HOME_MADE" "${RUN[@]}"
else
  chmod a-w "$HOME_MADE"
  echo "the network could not be taken away here"
  "${RUN[@]}"
fi
echo "the whole job in $((SECONDS - begin)) s"
echo "install: ok"
