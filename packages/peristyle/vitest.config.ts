import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { viteTextBundle } from "./scripts/text-bundle.mjs";

const source = (path: string) => `${fileURLToPath(new URL("src/", import.meta.url))}${path}`;

export default defineConfig({
  plugins: [viteTextBundle],
  // What apps import by the package's name.
  resolve: {
    alias: [
      { find: /^peristyle$/, replacement: source("index.ts") },
      { find: /^peristyle\/(\w+)$/, replacement: source("$1/index.ts") },
    ],
  },
  // Machines that run everything at once are slow, and a test that waits says itself for how long.
  // What comes before tests bundles and starts browsers, and what is polled comes within the test's time or not at all.
  test: { testTimeout: 60_000, hookTimeout: 120_000, expect: { poll: { timeout: 50_000 } } },
});
