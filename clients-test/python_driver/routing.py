"""Schema, and requests that go to a replica at once."""

from cassandra.metadata import Murmur3Token

from checks import equal


def check_the_driver_reads_the_schema(cluster, session):
    session.execute(
        "CREATE TABLE birds (flock text, ring int, seen timestamp, weight double, place text static, "
        "PRIMARY KEY ((flock, ring), seen)) WITH CLUSTERING ORDER BY (seen DESC) AND comment = 'starlings'"
    )
    table = cluster.metadata.keyspaces[session.keyspace].tables["birds"]
    equal([column.name for column in table.partition_key], ["flock", "ring"])
    equal([column.name for column in table.clustering_key], ["seen"])
    assert table.columns["seen"].is_reversed
    assert table.columns["place"].is_static
    equal(table.columns["weight"].cql_type, "double")
    equal(table.options["comment"], "starlings")
    strategy = cluster.metadata.keyspaces[session.keyspace].replication_strategy
    equal(strategy.replication_factor, 3)
    session.execute("ALTER TABLE birds ADD note text")
    assert "note" in cluster.metadata.keyspaces[session.keyspace].tables["birds"].columns
    session.execute("DROP TABLE birds")
    assert "birds" not in cluster.metadata.keyspaces[session.keyspace].tables


def check_tokens_are_the_drivers(cluster, session):
    session.execute("CREATE TABLE tokens (a text, b int, PRIMARY KEY ((a, b)))")
    insert = session.prepare("INSERT INTO tokens (a, b) VALUES (?, ?)")
    for number in range(50):
        bound = insert.bind((f"bird {number}", number))
        session.execute(bound)
        row = session.execute(
            "SELECT token(a, b) AS t FROM tokens WHERE a = %s AND b = %s", (f"bird {number}", number)
        ).one()
        equal(row.t, Murmur3Token.from_key(bound.routing_key).value)


def check_requests_go_to_the_only_replica(cluster, session):
    keyspace = session.keyspace + "_alone"
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
    )
    session.execute(f"CREATE TABLE {keyspace}.t (k int PRIMARY KEY, v text)")
    insert = session.prepare(f"INSERT INTO {keyspace}.t (k, v) VALUES (?, ?)")
    used = set()
    for key in range(60):
        bound = insert.bind((key, "v"))
        replicas = cluster.metadata.get_replicas(keyspace, bound.routing_key)
        equal(len(replicas), 1)
        future = session.execute_async(bound)
        future.result()
        equal(future._current_host.address, replicas[0].address)
        used.add(replicas[0].address)
    equal(len(used), 3)
    equal(session.execute(f"SELECT count(*) FROM {keyspace}.t").one()[0], 60)
    session.execute(f"DROP KEYSPACE {keyspace}")


def check_network_topology_strategy(cluster, session):
    datacenter = cluster.metadata.all_hosts()[0].datacenter
    keyspace = session.keyspace + "_dc"
    session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}")
    session.execute(
        f"CREATE KEYSPACE {keyspace} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', '{datacenter}': 2}} AND durable_writes = true"
    )
    session.execute(f"CREATE TABLE {keyspace}.t (k int PRIMARY KEY)")
    session.execute(f"INSERT INTO {keyspace}.t (k) VALUES (1)")
    equal(len(cluster.metadata.get_replicas(keyspace, b"\x00\x00\x00\x01")), 2)
    equal(session.execute(f"SELECT k FROM {keyspace}.t WHERE k = 1").one().k, 1)
    session.execute(f"DROP KEYSPACE {keyspace}")
