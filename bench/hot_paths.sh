#!/bin/sh
# The micro-benchmarks of every hot path: measured and kept, or measured again and compared with what was kept.
#
#   bench/hot_paths.sh save [FILTER]        before a change
#   bench/hot_paths.sh compare [FILTER]     after it: the change of each, with its confidence
#
# FILTER: a part of the measurements' names, `engine/` say. BASELINE=NAME keeps several beside each other; usual is "kept".
# They lie in target/criterion (CARGO_TARGET_DIR, CRITERION_HOME), of this machine alone: figures of others say nothing here.
set -eu

baseline=${BASELINE:-kept}
action=${1:-}
[ $# -eq 0 ] || shift
case $action in
save) set -- --save-baseline "$baseline" "$@" ;;
# What is new since has nothing to be compared with, and is measured.
compare) set -- --baseline-lenient "$baseline" "$@" ;;
*)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
exec cargo bench -p starling-bench --bench hot_paths -- "$@"
