/** Runs the benches in Node: `npm run bench`, after a build. Those in a page are `npm run bench` of `packages/live`. */
const client = await import(new URL("../dist/client.js", import.meta.url).href);
const { run } = await import(new URL("../bench/apply.mjs", import.meta.url).href);
for (const line of run(client)) console.log(line);
