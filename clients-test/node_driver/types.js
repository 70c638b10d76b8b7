// Every type, bound and read again.
'use strict';

const assert = require('node:assert/strict');
const { types } = require('cassandra-driver');

const SCALARS = {
  ascii: 'plain',
  bigint: types.Long.fromString('-9223372036854775808'),
  blob: Buffer.from([0, 1, 254, 255]),
  boolean: true,
  date: types.LocalDate.fromString('2013-01-31'),
  decimal: types.BigDecimal.fromString('-12345678901234567890.123456789'),
  double: -2.5e300,
  duration: types.Duration.fromString('1y2mo3d5s'),
  float: 0.15625,
  inet: types.InetAddress.fromString('2001:db8::7'),
  int: -2147483648,
  smallint: -32768,
  text: 'Stære ★ 🐦',
  time: types.LocalTime.fromString('23:59:59.999999999'),
  timestamp: new Date('2013-01-31T23:59:59.123Z'),
  timeuuid: types.TimeUuid.fromString('2b8e7d60-6b5a-11e2-9f3c-0123456789ab'),
  tinyint: -128,
  uuid: types.Uuid.fromString('7f1c3b1e-4d6a-4f0e-9b2a-0123456789ab'),
  varint: types.Integer.fromString('-10000000000000000000000000000000000000000'),
};

module.exports = {
  async 'scalars and nulls'({ client }) {
    const names = Object.keys(SCALARS);
    const columns = names.map((name) => `c_${name}`);
    const declared = names.map((name) => `c_${name} ${name}`).join(', ');
    await client.execute(`CREATE TABLE scalars (k int PRIMARY KEY, ${declared})`);
    const marks = columns.map(() => '?').join(', ');
    const insert = `INSERT INTO scalars (k, ${columns.join(', ')}) VALUES (?, ${marks})`;
    await client.execute(insert, [1, ...Object.values(SCALARS)]);
    await client.execute(insert, [2, ...columns.map(() => null)]);
    const row = (await client.execute('SELECT * FROM scalars WHERE k = 1')).first();
    for (const name of names) {
      assert.equal(String(row[`c_${name}`]), String(SCALARS[name]), name);
    }
    const nulls = (await client.execute('SELECT * FROM scalars WHERE k = 2')).first();
    assert.ok(columns.every((column) => nulls[column] === null));
  },

  async collections({ client }) {
    await client.execute(
      `CREATE TABLE collections (k int PRIMARY KEY, l list<int>, s set<text>, m map<text, int>,
       n map<int, frozen<list<text>>>)`,
    );
    await client.execute('INSERT INTO collections (k, l, s, m, n) VALUES (?, ?, ?, ?, ?)', [
      1,
      [3, 1, 2],
      ['b', 'a'],
      { x: 1 },
      { 7: ['q', 'r'] },
    ]);
    await client.execute('UPDATE collections SET l = l + ?, m[?] = ? WHERE k = 1', [[4], 'y', 2]);
    const row = (await client.execute('SELECT * FROM collections WHERE k = 1')).first();
    assert.deepEqual(row.l, [3, 1, 2, 4]);
    assert.deepEqual(row.s, ['a', 'b']);
    assert.deepEqual(row.m, { x: 1, y: 2 });
    assert.deepEqual(row.n, { 7: ['q', 'r'] });
  },
};
