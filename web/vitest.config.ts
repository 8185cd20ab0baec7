import { defineConfig } from "vitest/config";

/** Functions without a browser; `testSetup.ts` has the little of one that they read. The computer stands far from the house. */
export default defineConfig({
  test: {
    include: ["src/**/*.test.ts"], setupFiles: ["src/testSetup.ts"], env: { TZ: "America/St_Johns" },
    // what hangs ends; no computer is so slow, whatever else it does
    testTimeout: 900_000, hookTimeout: 900_000,
  },
});
