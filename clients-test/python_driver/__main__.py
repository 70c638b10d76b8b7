"""python -m python_driver IP:PORT: every check, for each protocol version and compression.

With DEMO, the directory of a demo that runs on this machine, and STARLING, the binary: only the checks that kill a
node, which is stopped when they end.
"""

import logging
import os
import sys

import checks
from python_driver import connection, errors, events, routing, statements, status, types
from python_driver.cluster import Target, connect

# What the driver negotiates by itself comes first; `None` is its own choice.
VARIANTS = [(None, True), (5, False), (4, "lz4"), (4, "snappy"), (4, False)]


def use(target):
    """The checks that leave the cluster as it is."""
    failures = checks.run("handshake", checks.checks_of(connection), target)
    for version, compression in VARIANTS:
        title = f"v{version or '?'} {compression or 'plain'}"
        cluster, session = connect(target, version, compression)
        try:
            # One keyspace for each variant, so that none sees what another did.
            name = f"python_{version or 'own'}_{compression or 'plain'}".lower()
            session.execute(f"DROP KEYSPACE IF EXISTS {name}")
            session.execute(
                f"CREATE KEYSPACE {name} WITH replication = "
                "{'class': 'SimpleStrategy', 'replication_factor': 3}"
            )
            session.set_keyspace(name)
            for module in (routing, statements, types, errors, events):
                failures += checks.run(title, checks.checks_of(module), cluster, session)
        finally:
            cluster.shutdown()
    return failures


def kill(target):
    """The checks that end with a node that is stopped."""
    cluster, session = connect(target)
    try:
        return checks.run("a node", checks.checks_of(status), cluster, session)
    finally:
        cluster.shutdown()


def main():
    host, _, port = sys.argv[1].rpartition(":")
    target = Target(host, int(port))
    # What the driver says of a node that is killed on purpose is no news.
    logging.basicConfig(level=logging.CRITICAL if "DEMO" in os.environ else logging.ERROR)
    sys.exit(1 if (kill if "DEMO" in os.environ else use)(target) else 0)


main()
