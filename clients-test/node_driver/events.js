// What the server tells without being asked.
'use strict';

const { until } = require('./checks');
const { connect } = require('./cluster');

module.exports = {
  async 'schema changes of others arrive'({ client, keyspace, contact }) {
    const other = connect(contact);
    await other.connect();
    try {
      // Known before, so that only an event can make the driver ask again.
      await client.metadata.refreshKeyspace(keyspace);
      await other.execute(`CREATE KEYSPACE IF NOT EXISTS ${keyspace}_told WITH replication =
        {'class': 'SimpleStrategy', 'replication_factor': 1}`);
      await until(() => client.metadata.keyspaces[`${keyspace}_told`], "the new keyspace's event");
      await other.execute(`DROP KEYSPACE ${keyspace}_told`);
      await until(() => !client.metadata.keyspaces[`${keyspace}_told`], "the dropped keyspace's event");
    } finally {
      await other.shutdown();
    }
  },
};
