// Counts primes on four workers: a shared sieve, a shared counter that hands out segments, results that are transferred, and
// a channel over which the workers tell a fifth what they did.
//
//     node primes.mjs [LIMIT]
//     peristyle run primes.mjs [LIMIT]
//
// Both print the same.
import { once } from "node:events";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker, MessageChannel, isMainThread, parentPort, workerData } from "node:worker_threads";

const WORKERS = 4;
const SEGMENT = 10_000;

if (isMainThread) await main();
else if (workerData.sieve) sieve(workerData);
else listen(workerData);

async function main() {
  const limit = Number(process.argv[2] ?? 200_000);
  if (!Number.isInteger(limit) || limit < 2 || limit > 1e9) {
    console.error(`the limit is ${process.argv[2]}, expected a whole number from 2 to 1e9`);
    process.exit(2);
  }
  console.log(`${basename(fileURLToPath(import.meta.url))}: primes below ${limit} on ${WORKERS} workers`);

  // Word 0 hands out segments, word 1 counts workers that are ready, word 2 starts them.
  const control = new Int32Array(new SharedArrayBuffer(12));
  const composite = new Uint8Array(new SharedArrayBuffer(limit));
  const channels = Array.from({ length: WORKERS }, () => new MessageChannel());
  const log = channels.map(({ port2 }) => port2);
  const listener = new Worker(new URL(import.meta.url), { workerData: { log }, transferList: log });
  const told = once(listener, "message");
  const workers = channels.map(({ port1 }, index) => {
    const data = { sieve: true, index, limit, control, composite, log: port1 };
    const worker = new Worker(new URL(import.meta.url), { workerData: data, transferList: [port1] });
    return Promise.all([once(worker, "message"), once(worker, "exit")]);
  });

  // The main thread may block: it waits until all are there, then starts them at once.
  for (let ready; (ready = Atomics.load(control, 1)) < WORKERS; ) Atomics.wait(control, 1, ready);
  Atomics.store(control, 2, 1);
  Atomics.notify(control, 2);

  const ended = await Promise.all(workers);
  const results = ended.map(([[result]]) => result);
  const counts = new Map(results.flatMap(({ segments, primes }) => Array.from(segments, (segment, i) => [segment, primes[i]])));
  const perSegment = [...counts].sort(([a], [b]) => a - b).map(([, count]) => count);
  console.log("primes:", perSegment.reduce((sum, count) => sum + count, 0));
  console.log("first segments:", perSegment.slice(0, 5));
  console.log("exit codes:", ended.map(([, [code]]) => code));
  console.log("the listener heard of", (await told)[0], "segments");
}

// Takes segments until none is left, and marks what is no prime.
function sieve({ index, limit, control, composite, log }) {
  Atomics.add(control, 1, 1);
  Atomics.notify(control, 1);
  Atomics.wait(control, 2, 0);
  const small = smallPrimes(Math.floor(Math.sqrt(limit)));
  const segments = [];
  const primes = [];
  for (;;) {
    const segment = Atomics.add(control, 0, 1);
    const from = segment * SEGMENT;
    const to = Math.min(from + SEGMENT, limit);
    if (from >= limit) break;
    for (const prime of small) {
      for (let n = Math.max(prime * prime, Math.ceil(from / prime) * prime); n < to; n += prime) composite[n] = 1;
    }
    let count = 0;
    for (let n = Math.max(from, 2); n < to; n++) count += 1 - composite[n];
    segments.push(segment);
    primes.push(count);
    log.postMessage({ index, segment });
  }
  log.postMessage("done");
  log.close();
  const result = { segments: Uint32Array.from(segments), primes: Uint32Array.from(primes) };
  parentPort.postMessage(result, [result.segments.buffer, result.primes.buffer]);
}

function smallPrimes(limit) {
  const primes = [];
  for (let n = 2; n <= limit; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
}

// Counts what it hears of until everyone is done.
function listen({ log }) {
  let segments = 0;
  let open = log.length;
  for (const port of log) {
    port.on("message", (message) => {
      if (message !== "done") segments++;
      else if (--open === 0) parentPort.postMessage(segments);
    });
  }
}
