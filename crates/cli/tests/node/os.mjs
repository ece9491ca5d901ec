import os, { availableParallelism, cpus, EOL } from "node:os";

console.log(os.platform() === process.platform, os.arch() === process.arch, os.type(), os.endianness(), JSON.stringify(EOL), os.devNull);
console.log(availableParallelism() >= 1, cpus().length, typeof cpus()[0].model, os.totalmem() > os.freemem(), os.loadavg().length, os.hostname(), os.release(), os.tmpdir(), os.uptime() > 0);
