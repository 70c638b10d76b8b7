#!/bin/sh
# Makes every figure of docs/performance.md again, on a machine where nothing else runs. It takes about four hours; as much disk
# as ten million rows on three nodes need, twice, must be free. All goes to one directory.
#
#   bench/figures.sh [DIRECTORY]            QUICK=1 for a look in some minutes, whose figures are worth nothing
#   bench/figures.sh DIRECTORY FIGURE...    only these: costs sizes shards sync long faults cluster
#
# What is compared takes turns, and each has the same label and settings in all runs: these are its repetitions.
set -eu

out=${1:-figures}
[ $# -eq 0 ] || shift
figures=${*:-costs sizes shards sync long faults cluster}
mkdir -p "$out"
if [ -z "${BENCH:-}" ]; then
    cargo build --release -p starling -p starling-bench
    BENCH=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)/starling-bench
fi
cd "$out"

if [ -n "${QUICK:-}" ]; then
    rows=50000 runs=2 repeats=2 seconds=5 sizes="10000 30000 100000" long=20s fault=30s at=8s back=18s
else
    rows=5000000 runs=5 repeats=3 seconds=10 sizes="100000 300000 1000000 3000000 10000000" long=10m fault=90s at=20s back=50s
fi

# What a read and a write cost, and where; one node and three.
costs() {
    "$BENCH" costs --rows $rows --runs $runs --seconds $seconds -o costs.md --json costs.json
}

# The cost of an operation over the number of rows: one in flight, for a closed load of more says little of latency, and servers that
# have nothing left of the loading to do. One label for each workload, groups that differ in their records alone. Only the files that
# this run made are shown, whatever else lies in the directory.
sizes() {
    set --
    for repeat in $(seq $repeats); do
        for size in $sizes; do
            for workload in point-reads point-writes; do
                file=$workload-$size-$repeat.json
                "$BENCH" run $workload --records "$size" --settle --in-flight 1 --duration ${seconds}s --label $workload --json "$file"
                set -- "$@" "$file"
            done
        done
    done
    "$BENCH" report "$@" -o by-rows.html --chart by-rows.svg
}

# One shard against two.
shards() {
    set --
    for run in $(seq $runs); do
        for shards in 1 2; do
            file=shards-$shards-$run.json
            "$BENCH" run point-reads --records $((rows / 5)) --duration ${seconds}s --node-argument=--shards=$shards \
                --label "$shards shard(s)" --json "$file"
            set -- "$@" "$file"
        done
    done
    "$BENCH" report "$@" -o shards.html
}

# Writes that wait for the disk, one in flight and 64, and the disk alone between them.
sync() {
    set --
    for run in $(seq $runs); do
        for flight in 1 64; do
            file=sync-$flight-$run.json
            "$BENCH" run point-writes --in-flight $flight --duration ${seconds}s --probe-disk \
                --label "$flight in flight" --json "$file"
            set -- "$@" "$file"
        done
    done
    "$BENCH" report "$@" -o group-commit.html
}

# Ten minutes of everything, with flushes and compactions; with proof.
long() {
    "$BENCH" run ycsb-a --records $((rows / 5)) --rate 5000 --duration $long --probe-disk --verify \
        --label "ten minutes" --json long.json
    "$BENCH" report long.json -o long.html --chart long.svg
}

# A node that dies and comes back, and one that is cut off; with proof.
faults() {
    "$BENCH" run registers --nodes 3 --rate 1000 --duration $fault --fault kill:node2@$at,restart@$back --verify \
        --label "a node dies" --json kill.json
    "$BENCH" run registers --nodes 3 --rate 1000 --duration $fault --fault partition:node2@$at,heal@$back --verify \
        --label "a node is cut off" --json partition.json
    "$BENCH" report kill.json partition.json -o faults.html
}

# The clusters' start, their memory when idle, and the closed loop at three depths.
cluster() {
    "$BENCH" cluster --json cluster.json >cluster.md
}

for figure in $figures; do
    case $figure in
    costs | sizes | shards | sync | long | faults | cluster) $figure ;;
    *)
        echo "there is no figure '$figure'; there are costs, sizes, shards, sync, long, faults and cluster" >&2
        exit 2
        ;;
    esac
done

echo "all figures are in $out"
