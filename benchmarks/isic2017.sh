#!/usr/bin/env bash
# Table 2 of real photographs (docs/results.md), one fold after another: each takes hours on a CPU. The same command goes
# on where it was stopped, and ends by itself after MINUTES (exit code 75) to be run again.
#
#   benchmarks/isic2017.sh PHOTOS OUT strict FOLD [MINUTES]     a GAN of the fold's training part, and the fold's 21 cells
#   benchmarks/isic2017.sh PHOTOS OUT both FOLD [MINUTES]       a second GAN, of negatives: synthetic images in both classes
#   benchmarks/isic2017.sh PHOTOS OUT paper FOLD [MINUTES]      one GAN of all positives, seen by every fold: the leak
#
# `classify table OUT/*.jsonl --out OUT/table2.md` lays them out together. PHOTOS holds the folders seborrheic_keratosis,
# nevus and melanoma; `synth` and `classify` are found on the PATH, or in the folder BIN.
set -euo pipefail

if [ $# -lt 4 ]; then
  sed -n '5,7s/^# *//p' "$0" >&2
  exit 2
fi
PHOTOS=$1 OUT=$2 PART=$3 FOLD=$4 MINUTES=${5:-150}
case $PART in
  strict | both | paper) ;;
  *)
    echo "error: $PART: not a part; give strict, both or paper." >&2
    exit 2
    ;;
esac
HERE=$(cd "$(dirname "$0")" && pwd)
END=$((SECONDS + 60 * MINUTES))
PATH=${BIN:+$BIN:}$PATH
COHORT=$OUT/cohort.h5

sliced() {  # a command, asked to save and to end (SIGUSR1) when the slice is over
  local left=$((END - SECONDS))
  ((left > 0)) || exit 75
  timeout --signal=USR1 "$left" "$@" || { code=$?; exit $((code == 124 ? 75 : code)); }
}

bundle() {  # NAME FOLD LABEL PROTOCOL: trained, drawn and selected
  local run=$OUT/gan/$1
  [ -e "$OUT/$1.h5" ] && return
  sliced synth train "$COHORT" --start phantom-skin-32 --kimg 24 --fold "$2" --label "$3" --protocol "$4" \
    --jobs 1 --offline --out "$run"
  sliced synth generate "$run" --count 1000 --out "$run/candidates.h5" --force
  sliced synth select "$run/candidates.h5" --cohort "$COHORT" --network "$run" --rule union --features lite1 --offline \
    --out "$OUT/$1.h5"
}

cells() {  # PRESET OPTIONS: fitted and tested
  local preset=$1
  shift
  sliced classify study "$COHORT" --preset "$preset" --fold "$FOLD" --offline --out "$OUT/models/$PART" \
    --records "$OUT/$PART.jsonl" --table "$OUT/$PART.md" "$@"
}

mkdir -p "$OUT"
if [ ! -e "$COHORT" ]; then
  synth prepare --positive "$PHOTOS/seborrheic_keratosis" --negative "$PHOTOS/nevus" \
    --external-negative "$PHOTOS/melanoma" --size 64 --out "$COHORT"
fi
case $PART in
  strict)
    bundle "fold$FOLD" "$FOLD" positive strict
    cells controlled --bundle "$OUT/fold$FOLD.h5"
    ;;
  both)
    bundle "fold$FOLD" "$FOLD" positive strict
    bundle "negative$FOLD" "$FOLD" negative strict
    cells "$HERE/isic2017_both.toml" --bundle "$OUT/fold$FOLD.h5" --bundle "$OUT/negative$FOLD.h5"
    ;;
  paper)
    bundle paper 0 positive paper
    cells "$HERE/isic2017_paper.toml" --protocol paper --allow-seen --bundle "$OUT/paper.h5"
    ;;
esac
