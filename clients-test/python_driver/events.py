"""What the server tells the driver without being asked."""

from checks import equal, until
from python_driver.cluster import Target, connect


def check_schema_changes_of_others_arrive(cluster, session):
    keyspace = session.keyspace
    address = session.hosts[0] if hasattr(session, "hosts") else next(iter(cluster.metadata.all_hosts()))
    target = Target(address.address, cluster.port)
    other, others_session = connect(target)
    try:
        others_session.execute(f"CREATE TABLE {keyspace}.told (k int PRIMARY KEY)")
        tables = lambda: cluster.metadata.keyspaces[keyspace].tables
        until(lambda: "told" in tables(), "the new table's event")
        others_session.execute(f"ALTER TABLE {keyspace}.told ADD v text")
        until(lambda: "v" in tables()["told"].columns, "the new column's event")
        others_session.execute(f"DROP TABLE {keyspace}.told")
        until(lambda: "told" not in tables(), "the dropped table's event")
    finally:
        other.shutdown()


def check_all_nodes_agree_on_the_schema(cluster, session):
    assert cluster.control_connection.wait_for_schema_agreement(wait_time=20)
    rows = list(session.execute("SELECT schema_version FROM system.peers_v2"))
    own = session.execute("SELECT schema_version FROM system.local").one()
    equal(len(rows), 2)
    assert own.schema_version is not None
