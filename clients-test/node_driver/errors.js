// Errors, with the protocol's codes and fields.
'use strict';

const assert = require('node:assert/strict');
const { types } = require('cassandra-driver');

const codes = types.responseErrorCodes;

module.exports = {
  async 'errors have their codes'({ client, keyspace }) {
    await client.execute('CREATE TABLE once (k int PRIMARY KEY)');
    const again = client.execute(`CREATE TABLE ${keyspace}.once (k int PRIMARY KEY)`, [], { prepare: false });
    await assert.rejects(again, { code: codes.alreadyExists, keyspace, table: 'once' });
    await assert.rejects(client.execute('SELEC 1', [], { prepare: false }), { code: codes.syntaxError });
    await assert.rejects(client.execute('SELECT * FROM nowhere', [], { prepare: false }), { code: codes.invalid });
  },

  async 'Unavailable has the numbers'({ client, keyspace }) {
    const many = `${keyspace}_many`;
    await client.execute(`DROP KEYSPACE IF EXISTS ${many}`);
    await client.execute(
      `CREATE KEYSPACE ${many} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 7}`,
    );
    await client.execute(`CREATE TABLE ${many}.t (k int PRIMARY KEY)`);
    const consistency = types.consistencies.quorum;
    // The driver tries the next node once; what it reports is the server's answer all the same.
    await assert.rejects(client.execute(`INSERT INTO ${many}.t (k) VALUES (1)`, [], { consistency }), (error) => {
      const answer = error.code === codes.unavailableException ? error : Object.values(error.innerErrors)[0];
      assert.equal(answer.code, codes.unavailableException);
      assert.equal(answer.consistencies, consistency);
      assert.deepEqual([answer.required, answer.alive], [4, 3]);
      return true;
    });
    await client.execute(`DROP KEYSPACE ${many}`);
  },
};
