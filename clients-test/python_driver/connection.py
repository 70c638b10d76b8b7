"""What the driver finds out by itself when it connects."""

from checks import equal
from python_driver.cluster import connect


def check_the_driver_negotiates_version_5_with_lz4(target):
    cluster, session = connect(target)
    try:
        equal(cluster.protocol_version, 5)
        control = cluster.control_connection._connection
        assert control.compressor is not None, "no compression was agreed on"
        equal(control._compression_type if hasattr(control, "_compression_type") else "lz4", "lz4")
    finally:
        cluster.shutdown()


def check_the_driver_sees_three_nodes_and_their_tokens(target):
    cluster, session = connect(target)
    try:
        hosts = cluster.metadata.all_hosts()
        equal(sorted(host.address for host in hosts), ["127.0.0.1", "127.0.0.2", "127.0.0.3"])
        assert all(host.is_up for host in hosts)
        assert all(host.datacenter and host.rack and host.host_id for host in hosts)
        equal(len({host.host_id for host in hosts}), 3)
        equal(cluster.metadata.partitioner, "org.apache.cassandra.dht.Murmur3Partitioner")
        ring = cluster.metadata.token_map
        owners = [host.address for host in ring.token_to_host_owner.values()]
        equal({host: owners.count(host) for host in set(owners)}, dict.fromkeys(set(owners), 16))
        equal(len(ring.ring), 48)
    finally:
        cluster.shutdown()


def check_every_node_can_be_contacted(target):
    for last in (1, 2, 3):
        cluster, session = connect(target._replace(host=f"127.0.0.{last}"))
        try:
            equal(len(cluster.metadata.all_hosts()), 3)
            row = session.execute("SELECT cql_version, release_version FROM system.local").one()
            assert row.release_version[0] in "45", row
        finally:
            cluster.shutdown()
