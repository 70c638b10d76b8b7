#!/bin/sh
# Makes every figure of docs/performance.md again, on a machine where nothing else runs. It takes about two hours; as much disk
# as ten million rows on three nodes need, twice, must be free. All goes to one directory.
#
#   bench/figures.sh [DIRECTORY]            QUICK=1 for a look in some minutes, whose figures are worth nothing
set -eu

out=${1:-figures}
mkdir -p "$out"
cargo build --release -p starling -p starling-bench
target=${CARGO_TARGET_DIR:-target}/release
bench="$target/starling-bench"

if [ -n "${QUICK:-}" ]; then
    rows=50000 runs=1 seconds=5 sizes="10000 30000 100000" long=20s
else
    rows=5000000 runs=5 seconds=10 sizes="100000 300000 1000000 3000000 10000000" long=10m
fi

# What a read and a write cost, and where; one node and three.
"$bench" costs --rows $rows --runs $runs --seconds $seconds -o "$out/costs.md" --json "$out/costs.json"

# The cost of an operation over the number of rows.
for size in $sizes; do
    for workload in point-reads point-writes; do
        "$bench" run $workload --records "$size" --duration ${seconds}s --label "$workload $size rows" --json "$out/$workload-$size.json"
    done
done
"$bench" report "$out"/point-reads-*.json -o "$out/point-reads-by-rows.html"
"$bench" report "$out"/point-writes-*.json -o "$out/point-writes-by-rows.html"

# One shard against two.
for shards in 1 2; do
    "$bench" run point-reads --records $((rows / 5)) --duration ${seconds}s --node-argument=--shards=$shards \
        --label "$shards shard(s)" --json "$out/shards-$shards.json"
done
"$bench" report "$out"/shards-*.json -o "$out/shards.html"

# Writes that wait for the disk, 64 in flight and one.
for flight in 1 64; do
    "$bench" run point-writes --in-flight $flight --duration ${seconds}s --label "$flight in flight" --json "$out/sync-$flight.json"
done
"$bench" report "$out"/sync-*.json -o "$out/group-commit.html"

# Ten minutes of everything, with flushes and compactions.
"$bench" run ycsb-a --records $((rows / 5)) --rate 10000 --duration $long --probe-disk --label "ten minutes" --json "$out/long.json"
"$bench" report "$out/long.json" -o "$out/long.html"

# A node that dies and comes back, and one that is cut off; with proof.
"$bench" run registers --nodes 3 --rate 1000 --duration 90s --fault kill:node2@20s,restart@50s --verify \
    --label "a node dies" --json "$out/kill.json"
"$bench" run registers --nodes 3 --rate 1000 --duration 90s --fault partition:node2@20s,heal@50s --verify \
    --label "a node is cut off" --json "$out/partition.json"
"$bench" report "$out/kill.json" "$out/partition.json" -o "$out/faults.html"

# The clusters' start, their memory when idle, and the closed loop at three depths.
"$bench" cluster --json "$out/cluster.json" >"$out/cluster.md"

echo "all figures are in $out"
