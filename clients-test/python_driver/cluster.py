"""Connections to the cluster under test."""

from collections import namedtuple

from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy

Target = namedtuple("Target", "host port")


def connect(target, version=None, compression=True):
    """A cluster and a session at QUORUM; `version` None lets the driver negotiate."""
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy()),
        consistency_level=ConsistencyLevel.QUORUM,
        request_timeout=30,
    )
    options = {"protocol_version": version} if version else {}
    cluster = Cluster(
        [target.host],
        port=target.port,
        compression=compression,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=30,
        **options,
    )
    return cluster, cluster.connect()
