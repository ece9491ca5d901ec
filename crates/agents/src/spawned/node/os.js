// node:os
(function (node) {
  "use strict";

  const { host, seat, failure } = node;
  const facts = () => host("os");
  const TYPES = { linux: "Linux", darwin: "Darwin", win32: "Windows_NT" };
  const homedir = () => {
    const home = host("env.get", "HOME");
    if (home === null) throw failure(Error, "EACCES", "EACCES: the home directory is in the environment, and HOME is not allowed");
    return home;
  };
  return {
    EOL: seat.platform === "win32" ? "\r\n" : "\n",
    devNull: seat.platform === "win32" ? "\\\\.\\nul" : "/dev/null",
    constants: { signals: {}, errno: {} },
    platform: () => seat.platform,
    arch: () => seat.arch,
    machine: () => ({ x64: "x86_64", arm64: "aarch64" })[seat.arch] ?? seat.arch,
    type: () => TYPES[seat.platform] ?? seat.platform,
    endianness: () => (new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? "LE" : "BE"),
    availableParallelism: () => facts().parallelism,
    cpus: () => host("cpus").map(({ model, speed }) => ({ model, speed, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } })),
    totalmem: () => facts().totalmem,
    freemem: () => facts().freemem,
    loadavg: () => facts().loadavg,
    uptime: () => facts().uptime,
    hostname: () => facts().hostname,
    release: () => facts().release,
    version: () => facts().version,
    tmpdir: () => (host("env.get", "TMPDIR") ?? "/tmp").replace(/(.)\/$/, "$1"),
    homedir,
  };
});
