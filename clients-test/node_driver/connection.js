// What the driver finds out by itself, and where it sends requests.
'use strict';

const assert = require('node:assert/strict');

module.exports = {
  async 'three nodes are found, with version 4'({ client }) {
    const hosts = client.hosts.values();
    assert.deepEqual(hosts.map((host) => host.address.split(':')[0]).sort(), [
      '127.0.0.1',
      '127.0.0.2',
      '127.0.0.3',
    ]);
    assert.ok(hosts.every((host) => host.isUp() && host.datacenter && host.rack && host.tokens.length === 16));
    assert.equal(client.controlConnection.protocolVersion, 4);
  },

  async 'requests go to the only replica'({ client, keyspace }) {
    const alone = `${keyspace}_alone`;
    await client.execute(`DROP KEYSPACE IF EXISTS ${alone}`);
    await client.execute(
      `CREATE KEYSPACE ${alone} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`,
    );
    await client.execute(`CREATE TABLE ${alone}.t (k int PRIMARY KEY, v text)`);
    await client.metadata.refreshKeyspace(alone);
    const used = new Set();
    for (let key = 0; key < 60; key += 1) {
      const result = await client.execute(`INSERT INTO ${alone}.t (k, v) VALUES (?, ?)`, [key, 'v']);
      const routing = Buffer.alloc(4);
      routing.writeInt32BE(key);
      const replicas = client.metadata.getReplicas(alone, routing);
      assert.equal(replicas.length, 1);
      assert.equal(result.info.queriedHost, replicas[0].address);
      used.add(result.info.queriedHost);
    }
    assert.equal(used.size, 3);
    await client.execute(`DROP KEYSPACE ${alone}`);
  },

  async 'the schema is read'({ client, keyspace }) {
    await client.execute(
      `CREATE TABLE ${keyspace}.birds (flock text, ring int, seen timestamp, place text static,
       tags set<text>, PRIMARY KEY ((flock, ring), seen)) WITH CLUSTERING ORDER BY (seen DESC)`,
    );
    const table = await client.metadata.getTable(keyspace, 'birds');
    assert.deepEqual(table.partitionKeys.map((column) => column.name), ['flock', 'ring']);
    assert.deepEqual(table.clusteringKeys.map((column) => column.name), ['seen']);
    assert.deepEqual(table.clusteringOrder, ['DESC']);
    assert.ok(table.columnsByName.place.isStatic);
  },
};
