// main.js IP:PORT: what the Node.js driver does, each part a check.
'use strict';

const { runChecks } = require('./checks');
const { connect } = require('./cluster');

const KEYSPACE = 'node_checks';

async function main() {
  const client = connect(process.argv[2]);
  await client.connect();
  await client.execute(`DROP KEYSPACE IF EXISTS ${KEYSPACE}`);
  await client.execute(
    `CREATE KEYSPACE ${KEYSPACE} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}`,
  );
  await client.execute(`USE ${KEYSPACE}`);
  const context = { client, keyspace: KEYSPACE, contact: process.argv[2] };
  let failures = 0;
  for (const part of ['./connection', './statements', './types', './errors', './events']) {
    failures += await runChecks(require(part), context);
  }
  await client.execute(`DROP KEYSPACE ${KEYSPACE}`);
  await client.shutdown();
  process.exitCode = failures ? 1 : 0;
}

main().catch((error) => {
  console.log(error);
  process.exit(1);
});
