import { defineConfig } from "vitest/config";

// One file after the other: each starts processes of its own, and a small machine has two cores.
export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
