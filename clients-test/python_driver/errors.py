"""Errors, as the driver's own classes with their fields."""

from cassandra import AlreadyExists, ConsistencyLevel, InvalidRequest, Unavailable
from cassandra.protocol import SyntaxException
from cassandra.query import SimpleStatement

from checks import equal, raises


def check_already_exists(cluster, session):
    session.execute("CREATE TABLE once (k int PRIMARY KEY)")
    error = raises(AlreadyExists, lambda: session.execute("CREATE TABLE once (k int PRIMARY KEY)"))
    equal((error.keyspace, error.table), (session.keyspace, "once"))
    session.execute("CREATE TABLE IF NOT EXISTS once (k int PRIMARY KEY)")
    error = raises(
        AlreadyExists,
        lambda: session.execute(
            f"CREATE KEYSPACE {session.keyspace} WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        ),
    )
    equal((error.keyspace, error.table), (session.keyspace, ""))


def check_invalid_statements(cluster, session):
    for query in (
        "SELECT * FROM nowhere",
        "SELECT * FROM no_keyspace.t",
        "SELECT nothing FROM once",
        "INSERT INTO once (k) VALUES ('text')",
        "SELECT * FROM once WHERE nothing = 1",
    ):
        raises(InvalidRequest, lambda: session.execute(query))


def check_what_is_not_supported_yet_says_so(cluster, session):
    session.execute("CREATE TABLE conditions (k int PRIMARY KEY, v int)")
    for query in (
        "INSERT INTO conditions (k, v) VALUES (1, 1) IF NOT EXISTS",
        "CREATE INDEX ON conditions (v)",
        "CREATE TYPE address (street text)",
    ):
        error = raises(InvalidRequest, lambda: session.execute(query))
        assert "not supported yet" in str(error), error


def check_syntax_errors(cluster, session):
    for query in ("SELEC * FROM once", "SELECT * FROM", "INSERT INTO once (k) VALUES (1", "'", ""):
        raises(SyntaxException, lambda: session.execute(query))


def check_unavailable(cluster, session):
    """More replicas than nodes: ALL can't be met, and the answer has the numbers."""
    keyspace = session.keyspace + "_five"
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 7}}"
    )
    session.execute(f"CREATE TABLE {keyspace}.t (k int PRIMARY KEY)")
    for level, required in ((ConsistencyLevel.ALL, 7), (ConsistencyLevel.QUORUM, 4)):
        for query in (f"INSERT INTO {keyspace}.t (k) VALUES (1)", f"SELECT * FROM {keyspace}.t WHERE k = 1"):
            statement = SimpleStatement(query, consistency_level=level)
            error = raises(Unavailable, lambda: session.execute(statement))
            equal((error.required_replicas, error.alive_replicas), (required, 3))
            equal(error.consistency, level)
    one = SimpleStatement(f"INSERT INTO {keyspace}.t (k) VALUES (1)", consistency_level=ConsistencyLevel.ONE)
    session.execute(one)
    session.execute(f"DROP KEYSPACE {keyspace}")


def check_a_prepared_statement_that_the_node_forgot(cluster, session):
    """Dropping the table makes nodes forget; the driver prepares again by itself."""
    session.execute("CREATE TABLE forgotten (k int PRIMARY KEY, v text)")
    insert = session.prepare("INSERT INTO forgotten (k, v) VALUES (?, ?)")
    session.execute("DROP TABLE forgotten")
    raises(InvalidRequest, lambda: session.execute(insert, (1, "v")))
    session.execute("CREATE TABLE forgotten (k int PRIMARY KEY, v text)")
    session.execute(insert, (1, "v"))
    equal(session.execute("SELECT v FROM forgotten WHERE k = 1").one().v, "v")
