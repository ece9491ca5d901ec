import { defineConfig } from "vitest/config";

export default defineConfig({
  // Machines that run everything at once are slow, and a test that waits says itself for how long.
  test: { testTimeout: 60_000 },
});
