// Connections to the cluster under test.
'use strict';

const cassandra = require('cassandra-driver');

function connect(contact, options = {}) {
  const [host, port] = contact.split(':');
  return new cassandra.Client({
    contactPoints: [host],
    localDataCenter: process.env.DATACENTER || 'datacenter1',
    protocolOptions: { port: Number(port) },
    queryOptions: { consistency: cassandra.types.consistencies.quorum, prepare: true },
    socketOptions: { readTimeout: 30000, connectTimeout: 30000 },
    ...options,
  });
}

module.exports = { connect };
