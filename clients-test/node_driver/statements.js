// Prepared statements, paging, batches, consistency levels, tracing.
'use strict';

const assert = require('node:assert/strict');
const { types } = require('cassandra-driver');

module.exports = {
  async 'prepared statements, and values that are not set'({ client }) {
    await client.execute('CREATE TABLE prepared (k int, c int, v text, w text, PRIMARY KEY (k, c))');
    const insert = 'INSERT INTO prepared (k, c, v, w) VALUES (?, ?, ?, ?)';
    await client.execute(insert, [1, 1, 'one', null]);
    await client.execute(insert, [1, 2, 'two', 'w']);
    await client.execute(insert, [1, 2, types.unset, 'x']);
    const result = await client.execute('SELECT c, v, w FROM prepared WHERE k = :k', { k: 1 });
    assert.deepEqual(result.rows.map((row) => row.values()), [
      [1, 'one', null],
      [2, 'two', 'x'],
    ]);
  },

  async 'pages, by hand and as a stream'({ client }) {
    await client.execute('CREATE TABLE pages (k int, c int, PRIMARY KEY (k, c))');
    const work = [];
    for (let key = 0; key < 20; key += 1) {
      for (let column = 0; column < 50; column += 1) {
        work.push(client.execute('INSERT INTO pages (k, c) VALUES (?, ?)', [key, column]));
      }
    }
    await Promise.all(work);
    const seen = new Set();
    for await (const row of client.stream('SELECT k, c FROM pages', [], { fetchSize: 77, autoPage: true })) {
      seen.add(`${row.k} ${row.c}`);
    }
    assert.equal(seen.size, 1000);
    const first = await client.execute('SELECT k, c FROM pages', [], { fetchSize: 300 });
    assert.equal(first.rows.length, 300);
    const rest = await client.execute('SELECT k, c FROM pages', [], { fetchSize: 5000, pageState: first.pageState });
    assert.equal(rest.rows.length, 700);
    assert.equal(rest.pageState, null);
  },

  async 'batches, logged and not, prepared and not'({ client }) {
    await client.execute('CREATE TABLE batches (k int, c int, v text, PRIMARY KEY (k, c))');
    for (const options of [{ prepare: true, logged: true }, { prepare: true, logged: false }]) {
      await client.execute('TRUNCATE batches');
      const queries = [];
      for (let column = 0; column < 10; column += 1) {
        queries.push({ query: 'INSERT INTO batches (k, c, v) VALUES (?, ?, ?)', params: [1, column, 'v'] });
      }
      queries.push({ query: 'DELETE FROM batches WHERE k = ? AND c = ?', params: [1, 77] });
      await client.batch(queries, options);
      const result = await client.execute('SELECT count(*) AS n FROM batches WHERE k = 1');
      assert.equal(result.first().n.toNumber(), 10);
    }
    await client.batch(["INSERT INTO batches (k, c, v) VALUES (2, 1, 'text')"], { prepare: false });
    const result = await client.execute('SELECT v FROM batches WHERE k = 2');
    assert.equal(result.first().v, 'text');
  },

  async 'every consistency level'({ client }) {
    await client.execute('CREATE TABLE levels (k text PRIMARY KEY)');
    const { one, two, three, quorum, all, localQuorum, localOne, any, eachQuorum } = types.consistencies;
    const both = [one, two, three, quorum, all, localQuorum, localOne];
    for (const consistency of [...both, any, eachQuorum]) {
      await client.execute('INSERT INTO levels (k) VALUES (?)', [`level ${consistency}`], { consistency });
    }
    for (const consistency of both) {
      await client.execute('SELECT k FROM levels WHERE k = ?', ['level 4'], { consistency });
    }
    const rows = (await client.execute('SELECT k FROM levels', [], { consistency: all })).rows;
    assert.equal(rows.length, both.length + 2);
  },

  async 'a traced request has a trace'({ client }) {
    const result = await client.execute('SELECT * FROM levels', [], { traceQuery: true });
    assert.ok(result.info.traceId);
    const trace = await client.metadata.getTrace(result.info.traceId);
    assert.ok(trace.requestType);
    assert.ok(trace.coordinator);
    assert.ok(trace.events.length > 0);
  },
};
