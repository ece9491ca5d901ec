/** Starts `peristyle demo sky` and a browser, for tests, pictures and measurements. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** The command `peristyle`; `PERISTYLE_BIN` says where it is. */
const command = process.env.PERISTYLE_BIN ?? `${root}target/debug/peristyle`;

/** Starts a server, and waits until it serves. Port 0 is any free one. */
export async function serve({ port = 0, args = [] } = {}) {
  const child = spawn(command, ["demo", "sky", "--listen", `127.0.0.1:${port}`, ...args], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  // A test that fails leaves nothing running.
  process.on("exit", () => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stderr });
  const said = [];
  const url = await new Promise((resolve, reject) => {
    lines.on("line", (line) => {
      said.push(line);
      const found = /https?:\/\/\S+/.exec(line);
      if (found) resolve(new URL(found[0]));
    });
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${said.join("\n")}`)));
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

/** Starts Chromium. Software rendering: machines that test have no graphics card. */
export function browser() {
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const args = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"];
  return chromium.launch({ executablePath, args });
}
