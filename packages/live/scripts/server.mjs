/** Starts `peristyle demo sky` and a browser, for tests, pictures and measurements. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The command `peristyle`; `PERISTYLE_BIN` says where it is. */
const command = process.env.PERISTYLE_BIN ?? `${root}target/debug/peristyle`;

/** Starts a server of Sky, and waits until it serves. Port 0 is any free one. */
export function serve({ port = 0, args = [] } = {}) {
  return start(command, ["demo", "sky", "--listen", `127.0.0.1:${port}`, ...args]);
}

/** Starts the example of any other world, `examples/live`. */
export function serveExample() {
  return start(join(dirname(command), "peristyle-live"), ["127.0.0.1:0"]);
}

async function start(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  // A test that fails leaves nothing running.
  process.on("exit", () => child.kill("SIGKILL"));
  const said = [];
  const url = await new Promise((resolve, reject) => {
    for (const input of [child.stdout, child.stderr]) {
      createInterface({ input }).on("line", (line) => {
        said.push(line);
        const found = /https?:\/\/\S+/.exec(line);
        if (found) resolve(new URL(found[0]));
      });
    }
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${program} ended with ${code}: ${said.join("\n")}`)));
  });
  return {
    url,
    async stop() {
      if (child.exitCode !== null) return;
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

const SOFTWARE = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"];

/** Starts Chromium, with WebGL or without. Software rendering: machines that test have no graphics card. */
export function browser({ webgl = true } = {}) {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...(webgl ? SOFTWARE : ["--disable-3d-apis"])] });
}
