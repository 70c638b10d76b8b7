#!/usr/bin/env bash
# Fuzzes every target, or the one named, for so many seconds each, beginning with the saved corpus.
#   fuzz/run.sh [SECONDS] [TARGET]
# A finding is written to fuzz/target/findings and ends the run with an error; replay it by giving the file to the
# target's binary. Coverage comes from flags that a stable compiler has, so this needs no nightly, only a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
targets=(${2:-frame statement peer table})

triple=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# The binaries are looked for here, wherever others are built.
export CARGO_TARGET_DIR="$PWD/target"
cargo build --quiet --release --target "$triple"

for target in "${targets[@]}"; do
    # What is found on the way is kept apart from the saved corpus, which grows by hand only.
    mkdir -p "target/corpus/$target" target/findings
    echo "fuzz: $target, $seconds s"
    log="target/$target.log"
    if ! "target/$triple/release/$target" "target/corpus/$target" "corpus/$target" \
        -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 -max_len=65536 \
        -artifact_prefix="target/findings/$target-" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        exit 1
    fi
    tail -n 1 "$log"
done
