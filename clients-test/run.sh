#!/usr/bin/env bash
# Runs stock clients, unmodified, against a cluster of three nodes: cqlsh and cassandra-driver (PyPI),
# cassandra-driver (npm), and the scylla crate. Fails loudly if any of them finds something wrong.
#
#   clients-test/run.sh                       all of them
#   clients-test/run.sh python cqlsh          some of them: python, cqlsh, node, rust
#
# Needs python3 (with venv), node and npm for those clients. What it installs goes to target/clients-test.
# STARLING: the binary to test, instead of one that is built here.
# CONTACT=IP:PORT: a cluster that runs already, instead of one that is started here.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
target=${CARGO_TARGET_DIR:-$root/target}
cache=$root/target/clients-test
clients=("$@")
[ ${#clients[@]} -gt 0 ] || clients=(python cqlsh node rust)
mkdir -p "$cache"

say() { printf '== %s\n' "$*"; }

python_environment() {
    local stamp=$cache/python.requirements
    if ! cmp -s "$here/requirements.txt" "$stamp"; then
        say "installing $(grep -c '==' "$here/requirements.txt") Python packages"
        rm -rf "$cache/python"
        python3 -m venv "$cache/python"
        "$cache/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
        cp "$here/requirements.txt" "$stamp"
    fi
}

node_environment() {
    local stamp=$cache/node/package-lock.stamp
    mkdir -p "$cache/node"
    if ! cmp -s "$here/node_driver/package-lock.json" "$stamp"; then
        say "installing the npm packages"
        cp "$here/node_driver/package.json" "$here/node_driver/package-lock.json" "$cache/node/"
        (cd "$cache/node" && npm ci --silent --no-audit --no-fund)
        cp "$here/node_driver/package-lock.json" "$stamp"
    fi
}

binary() {
    if [ -z "${STARLING:-}" ]; then
        say "building starling"
        (cd "$root" && cargo build --quiet --package starling --bin starling)
        STARLING=$target/debug/starling
    fi
}

# A port that is free on the first three loopback addresses; three of them, one for each listener.
free_ports() {
    python3 - <<'PY'
import socket
found = []
while len(found) < 3:
    first = socket.socket()
    first.bind(("127.0.0.1", 0))
    port = first.getsockname()[1]
    first.close()
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            for last in (1, 2, 3):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind((f"127.0.0.{last}", port))
    except OSError:
        continue
    if port not in found:
        found.append(port)
print(*found)
PY
}

demo=
dir=
stop_cluster() {
    local status=$?
    if [ -n "$demo" ] && kill -0 "$demo" 2>/dev/null; then
        kill -INT "$demo"
        wait "$demo" || true
    fi
    if [ -n "$dir" ]; then
        if [ "$status" -ne 0 ]; then
            for log in "$dir"/data/*/log; do
                [ -f "$log" ] && { say "the end of $log"; tail -n 20 "$log"; }
            done
        fi
        rm -rf "$dir"
    fi
    exit "$status"
}

start_cluster() {
    local port cql admin
    read -r port cql admin <<<"$(free_ports)"
    dir=$(mktemp -d)
    trap stop_cluster EXIT
    say "starting three nodes, CQL on port $cql"
    "$STARLING" demo --no-shell --no-data --dir "$dir/data" --port "$port" --cql-port "$cql" \
        --admin-port "$admin" >"$dir/demo.out" 2>&1 &
    demo=$!
    local tries=600
    until grep -q '^ready:' "$dir/demo.out"; do
        if ! kill -0 "$demo" 2>/dev/null || [ $((tries -= 1)) -eq 0 ]; then
            cat "$dir/demo.out"
            echo "the cluster did not become ready" >&2
            exit 1
        fi
        sleep 0.1
    done
    CONTACT=127.0.0.1:$cql
}

needs() {
    command -v "$1" >/dev/null || { echo "'$1' is needed for the client '$2'; install it or leave it out" >&2; exit 2; }
}

# Everything that can be missing is found out before anything is started.
for client in "${clients[@]}"; do
    case $client in
    python | cqlsh) needs python3 "$client" && python_environment ;;
    node) needs npm node && needs node node && node_environment ;;
    rust) needs cargo rust ;;
    *) echo "unknown client '$client'; there are python, cqlsh, node and rust" >&2; exit 2 ;;
    esac
done

if [ -z "${CONTACT:-}" ]; then
    binary
    start_cluster
fi
export CONTACT PYTHONDONTWRITEBYTECODE=1

failed=()
run() {
    local client=$1
    shift
    say "$client"
    "$@" || failed+=("$client")
}

for client in "${clients[@]}"; do
    case $client in
    python) run python env PYTHONPATH="$here" "$cache/python/bin/python" -m python_driver "$CONTACT" ;;
    cqlsh) run cqlsh "$cache/python/bin/python" "$here/cqlsh_checks.py" "$cache/python/bin/cqlsh" "$CONTACT" ;;
    node) run node env NODE_PATH="$cache/node/node_modules" node "$here/node_driver/main.js" "$CONTACT" ;;
    rust) run rust cargo test --quiet --manifest-path "$root/Cargo.toml" --package starling --test scylla_driver ;;
    esac
done

# Last, because one of the nodes is stopped afterwards.
if [ -n "$dir" ] && [[ " ${clients[*]} " == *" python "* ]]; then
    run "python, a node that dies" env PYTHONPATH="$here" DEMO="$dir/data" STARLING="$STARLING" \
        "$cache/python/bin/python" -m python_driver "$CONTACT"
fi

if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED: ${failed[*]}" >&2
    exit 1
fi
say "all passed: ${clients[*]}"
