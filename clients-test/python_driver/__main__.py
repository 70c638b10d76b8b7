"""python -m python_driver IP:PORT: every check, for each protocol version and compression."""

import logging
import sys

import checks
from python_driver import connection, errors, events, routing, statements, types
from python_driver.cluster import Target, connect

# What the driver negotiates by itself comes first; `None` is its own choice.
VARIANTS = [(None, True), (5, False), (4, "lz4"), (4, "snappy"), (4, False)]


def main():
    host, _, port = sys.argv[1].rpartition(":")
    logging.basicConfig(level=logging.ERROR)
    failures = checks.run("handshake", checks.checks_of(connection), Target(host, int(port)))
    for version, compression in VARIANTS:
        title = f"v{version or '?'} {compression or 'plain'}"
        cluster, session = connect(Target(host, int(port)), version, compression)
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
    sys.exit(1 if failures else 0)


main()
