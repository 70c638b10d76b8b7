"""What the server tells of nodes that go and come back. Needs a cluster whose processes are on this machine."""

import os
import pathlib
import signal
import subprocess
import threading

from cassandra import ConsistencyLevel
from cassandra.connection import DefaultEndPoint
from cassandra.query import SimpleStatement

from checks import equal, until

NUMBER = 3
ADDRESS = f"127.0.0.{NUMBER}"


def start_again(directory):
    """The node's process, as an operator would start it."""
    with open(directory / "log", "ab") as log:
        command = [os.environ["STARLING"], "node", "--config", str(directory / "starling.toml")]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def check_a_node_that_is_killed_and_returns(cluster, session):
    directory = pathlib.Path(os.environ["DEMO"]) / f"node{NUMBER}"
    contact = next(host for host in cluster.metadata.all_hosts() if host.address != ADDRESS)
    # A connection of its own: the driver's own notion of up and down mixes events with what it sees itself.
    connection = cluster.connection_factory(DefaultEndPoint(contact.address, cluster.port))
    heard = []
    changed = threading.Lock()

    def hear(event):
        with changed:
            heard.append((event["change_type"], event["address"][0]))

    connection.register_watchers({"STATUS_CHANGE": hear, "TOPOLOGY_CHANGE": hear})
    node = None
    try:
        os.kill(int((directory / "data" / "pid").read_text()), signal.SIGKILL)
        until(lambda: heard == [("DOWN", ADDRESS)], "the DOWN event")
        read = SimpleStatement("SELECT key FROM system.local", consistency_level=ConsistencyLevel.QUORUM)
        session.execute(read)
        node = start_again(directory)
        until(lambda: heard == [("DOWN", ADDRESS), ("UP", ADDRESS)], "the UP event")
        host = cluster.metadata.get_host(ADDRESS)
        until(lambda: host.is_up, "the driver's own view of the node")
    finally:
        connection.close()
        if node is not None:
            node.terminate()
            equal(node.wait(30), 0)
