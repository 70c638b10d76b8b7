"""cqlsh_checks.py CQLSH IP:PORT: what a person does with cqlsh."""

import csv
import os
import subprocess
import sys
import tempfile

import checks
from checks import equal

KEYSPACE = "cqlsh_checks"


class Shell:
    """Runs cqlsh without a terminal."""

    def __init__(self, command, host, port):
        self.command = [sys.executable, command, "--encoding", "utf-8", host, port]

    def fails(self, statements, *options):
        """Runs statements that must fail, and returns what was said."""
        done = self._run(statements, options)
        assert done.returncode != 0, f"no failure of {statements!r}: {done.stdout}"
        return done.stdout + done.stderr

    def run(self, statements, *options):
        """Runs statements, and returns what was printed."""
        done = self._run(statements, options)
        assert done.returncode == 0, f"{statements!r}: {done.stderr}\n{done.stdout}"
        equal(done.stderr, "")
        # It says so on every start when the server is not of its own release.
        lines = done.stdout.splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("WARNING: cqlsh was built against"))

    def _run(self, statements, options):
        environment = dict(os.environ, HOME=tempfile.gettempdir(), CQLSH_NO_BUNDLED="1")
        return subprocess.run(
            [*self.command, *options, "-e", statements],
            capture_output=True, text=True, timeout=120, env=environment, check=False,
        )


def contains(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in:\n{text}"


def check_show_version_and_host(shell):
    contains(shell.run("SHOW VERSION"), "[cqlsh 6.2", "CQL spec 3.4", "Native protocol v5")
    contains(shell.run("SHOW HOST"), "Connected to")


def check_creating_and_querying(shell):
    shell.run(f"DROP KEYSPACE IF EXISTS {KEYSPACE}")
    shell.run(
        f"CREATE KEYSPACE {KEYSPACE} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 3}; "
        f"CREATE TABLE {KEYSPACE}.birds (flock text, ring int, name text, tags set<text>, "
        "seen map<date, int>, PRIMARY KEY (flock, ring)) WITH CLUSTERING ORDER BY (ring DESC)"
    )
    shell.run(
        f"USE {KEYSPACE}; "
        "INSERT INTO birds (flock, ring, name, tags, seen) "
        "VALUES ('north', 1, 'Stær', {'old', 'loud'}, {'2013-01-01': 3}); "
        "INSERT INTO birds (flock, ring, name) VALUES ('north', 2, 'O''Brien')"
    )
    out = shell.run("SELECT * FROM birds", "-k", KEYSPACE)
    contains(out, "Stær", "O'Brien", "{'loud', 'old'}", "{2013-01-01: 3}", "null", "(2 rows)")
    contains(shell.run(f"SELECT name FROM {KEYSPACE}.birds WHERE flock = 'x'"), "(0 rows)")


def check_describe(shell):
    contains(shell.run("DESCRIBE KEYSPACES"), KEYSPACE, "system_schema")
    contains(shell.run(f"DESCRIBE KEYSPACE {KEYSPACE}"), f"CREATE KEYSPACE {KEYSPACE}", "CREATE TABLE")
    table = shell.run(f"DESCRIBE TABLE {KEYSPACE}.birds")
    contains(table, f"CREATE TABLE {KEYSPACE}.birds", "PRIMARY KEY (flock, ring)", "ring DESC", "set<text>")
    contains(shell.run("DESCRIBE TABLES", "-k", KEYSPACE), "birds")
    contains(shell.run("DESCRIBE CLUSTER"), "Murmur3Partitioner", "Cluster:")
    contains(shell.run("DESCRIBE SCHEMA"), f"CREATE KEYSPACE {KEYSPACE}")
    contains(shell.run("DESCRIBE TABLE system.local"), "CREATE TABLE system.local")


def check_what_describe_printed_can_be_executed(shell):
    statement = shell.run(f"DESCRIBE TABLE {KEYSPACE}.birds").replace(f"{KEYSPACE}.birds", f"{KEYSPACE}.copy")
    # cqlsh adds the semicolon itself.
    shell.run(statement.strip().rstrip(";"))
    equal(
        shell.run(f"DESCRIBE TABLE {KEYSPACE}.copy").replace(f"{KEYSPACE}.copy", f"{KEYSPACE}.birds").strip(),
        shell.run(f"DESCRIBE TABLE {KEYSPACE}.birds").strip(),
    )


def check_consistency_paging_and_expand(shell):
    out = shell.run(
        f"CONSISTENCY ALL; PAGING 1; EXPAND ON; SELECT * FROM {KEYSPACE}.birds; CONSISTENCY; PAGING OFF"
    )
    contains(out, "Consistency level set to ALL", "@ Row 1", "@ Row 2", "Current consistency level is ALL")


def check_tracing(shell):
    out = shell.run(f"TRACING ON; SELECT * FROM {KEYSPACE}.birds WHERE flock = 'north'")
    contains(out, "Tracing session:", "activity", "Request complete")


def check_copy_to_and_from_csv(shell):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "numbers.csv")
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((n, f"text, {n}", n / 4) for n in range(500))
        shell.run(f"CREATE TABLE {KEYSPACE}.numbers (n int PRIMARY KEY, t text, d double)")
        out = shell.run(f"COPY {KEYSPACE}.numbers (n, t, d) FROM '{path}'")
        contains(out, "500 rows imported")
        contains(shell.run(f"SELECT count(*) FROM {KEYSPACE}.numbers"), "500")
        back = os.path.join(directory, "back.csv")
        contains(shell.run(f"COPY {KEYSPACE}.numbers (n, t, d) TO '{back}'"), "500 rows exported")
        with open(back, newline="", encoding="utf-8") as file:
            rows = sorted(csv.reader(file), key=lambda row: int(row[0]))
        equal(rows[7], ["7", "text, 7", "1.75"])
        equal(len(rows), 500)


def check_errors(shell):
    contains(shell.fails("SELEC 1"), "SyntaxException")
    contains(shell.fails("SELECT * FROM nowhere.t"), "InvalidRequest")
    contains(shell.fails(f"CREATE TABLE {KEYSPACE}.birds (k int PRIMARY KEY)"), "already exists")


def check_system_tables(shell):
    contains(shell.run("SELECT peer, data_center, rack FROM system.peers"), "127.0.0.2", "(2 rows)")
    contains(shell.run("SELECT cluster_name, partitioner FROM system.local"), "Murmur3Partitioner")
    contains(shell.run("SELECT keyspace_name FROM system_schema.keyspaces"), KEYSPACE)


def check_cleaning_up(shell):
    shell.run(f"DROP KEYSPACE {KEYSPACE}")
    assert KEYSPACE not in shell.run("DESCRIBE KEYSPACES")


def main():
    command, contact = sys.argv[1:]
    host, _, port = contact.rpartition(":")
    module = sys.modules["__main__"]
    sys.exit(1 if checks.run("cqlsh", checks.checks_of(module), Shell(command, host, port)) else 0)


main()
