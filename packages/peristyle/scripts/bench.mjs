/** Runs the benches in Node: `npm run bench`, after a build. Those in a page are `npm run bench` of `packages/live`. */
const dist = (name) => import(new URL(`../dist/${name}.js`, import.meta.url).href);
const { run } = await import(new URL("../bench/apply.mjs", import.meta.url).href);
for (const line of run(await dist("client"))) console.log(line);
const kernel = await import(new URL("./bench-kernel.mjs", import.meta.url).href);
for (const line of await kernel.run(await dist("index"))) console.log(line);
