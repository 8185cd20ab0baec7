import { defineConfig } from "vite";

// The built map is served by flycam itself; old office browsers are the floor, hence the target.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../flycam/serve/static",
    emptyOutDir: true,
    target: ["chrome80", "firefox78", "safari13"],
    sourcemap: false,
    reportCompressedSize: true,
    // two pages: who uploads from a phone over a thin line does not wait for the map
    rollupOptions: { input: ["index.html", "upload.html"] },
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/files", "/tiles", "/tilejson", "/events"].map((path) => [path, "http://127.0.0.1:8000"]),
    ),
  },
});
