// Runs checks: functions by the sentence that they check.
'use strict';

async function runChecks(checks, context) {
  let failures = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(context);
      console.log(`  ok      node: ${name}`);
    } catch (error) {
      failures += 1;
      console.log(`  FAILED  node: ${name}`);
      console.log(error);
    }
  }
  return failures;
}

// Waits until something that others bring about is so.
async function until(condition, what, seconds = 30) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) {
      throw new Error(`${what} did not happen in ${seconds} s`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

module.exports = { runChecks, until };
