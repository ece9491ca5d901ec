import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  // What apps import by the package's name.
  resolve: { alias: { peristyle: fileURLToPath(new URL("src/app/index.ts", import.meta.url)) } },
  // Machines that run everything at once are slow, and a test that waits says itself for how long.
  test: { testTimeout: 60_000 },
});
