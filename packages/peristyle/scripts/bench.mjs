/**
 * Runs the benches: `node scripts/bench.mjs` in Node, `node scripts/bench.mjs PATH_OF_CHROMIUM` in a page. Build first.
 */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const root = new URL("..", import.meta.url);

async function inNode() {
  const client = await import(new URL("dist/client.js", root).href);
  const { run } = await import(new URL("bench/apply.mjs", root).href);
  return run(client);
}

const PAGE = `<!doctype html><pre></pre><script type="module">
import * as client from "/dist/client.min.js";
import { run } from "/bench/apply.mjs";
document.querySelector("pre").textContent = run(client).join("\\n");
</script>`;

async function inChromium(chromium) {
  const server = createServer(async ({ url }, response) => {
    const name = ["/dist/client.min.js", "/bench/apply.mjs", "/bench/frames.mjs"].find((known) => known === url);
    response.setHeader("content-type", name ? "text/javascript" : "text/html");
    response.end(name ? await readFile(new URL(`.${name}`, root)) : PAGE);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const address = `http://127.0.0.1:${server.address().port}/`;
    const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=600000", "--dump-dom"];
    const { stdout } = await promisify(execFile)(chromium, [...flags, address]);
    const [, text = ""] = /<pre>([^]*?)<\/pre>/.exec(stdout) ?? [];
    if (text === "") throw new Error(`the page shows nothing:\n${stdout}`);
    return text.split("\n");
  } finally {
    server.close();
  }
}

const [chromium] = process.argv.slice(2);
for (const line of await (chromium ? inChromium(chromium) : inNode())) console.log(line);
