import { defineConfig, type HtmlTagDescriptor, type Plugin } from "vite";

const PROGRAM = "/src/application.ts";

/** What both pages are built on comes as one file, not as several for the sake of a few lines: each is a request. */
const COMMON = /\/web\/src\/(api|dom|i18n|numbers|time|turns|versions|panel\/login|upload\/size)\.ts$|\/style\.css$|vite\/(preload-helper|modulepreload-polyfill)/;

/** The program of the map, and who is there, are asked for with the page, not only when the page's first script comes to it. */
const programWithPage: Plugin = {
  name: "program-with-page",
  transformIndexHtml: {
    order: "post",
    handler(html, { bundle, filename }) {
      if (!filename.endsWith("/index.html")) return [];
      const chunks = Object.values(bundle ?? {}).flatMap((one) => (one.type === "chunk" ? [one] : []));
      const program = chunks.find((one) => one.moduleIds.some((id) => id.endsWith(PROGRAM)));
      if (bundle && !program) throw new Error(`${PROGRAM} is no chunk of its own`);
      const scripts = program ? [program.fileName, ...program.imports] : [];
      const sheets = [...(program?.viteMetadata?.importedCss ?? [])];
      const tag = (rel: string, name: string): HtmlTagDescriptor => ({ tag: "link", attrs: { rel, crossorigin: true, href: `./${name}` }, injectTo: "head" });
      const session: HtmlTagDescriptor = { tag: "link", attrs: { rel: "preload", as: "fetch", crossorigin: true, href: "/api/session" }, injectTo: "head" };
      return [session, ...scripts.map((name) => tag("modulepreload", name)), ...sheets.map((name) => tag("stylesheet", name))].filter((one) => !html.includes(String(one.attrs?.href)));
    },
  },
};

/** Parts of OpenLayers, by their importers' ends, that the map never comes to: 40 kB to fetch and to read. */
const NEVER_USED: [importer: RegExp, asked: RegExp][] = [
  [/ol\/layer\/BaseVector\.js$/, /render\/canvas\/style\.js$/],
  [/ol\/(source\/TileImage|renderer\/canvas\/TileLayer)\.js$/, /reproj\/Tile\.js$/],
];

const withoutUnused: Plugin = {
  name: "without-unused",
  enforce: "pre",
  apply: "build",
  resolveId(asked, importer) {
    const isUnused = NEVER_USED.some(([by, what]) => importer && by.test(importer) && what.test(asked));
    return isUnused ? this.resolve("/src/map/openlayersStubs.ts", undefined) : null;
  },
};

// The built map is served by flycam itself; old office browsers are the floor, hence the target.
export default defineConfig({
  base: "./",
  plugins: [programWithPage, withoutUnused],
  build: {
    outDir: "../flycam/serve/static",
    emptyOutDir: true,
    target: ["chrome80", "firefox78", "safari13"],
    sourcemap: false,
    reportCompressedSize: true,
    // two pages: who uploads from a phone over a thin line does not wait for the map
    rollupOptions: { input: ["index.html", "upload.html"], output: { manualChunks: (id) => (COMMON.test(id) ? "common" : undefined) } },
  },
  server: {
    host: "127.0.0.1",
    proxy: Object.fromEntries(
      ["/api", "/files", "/tiles", "/tilejson", "/events"].map((path) => [path, "http://127.0.0.1:8000"]),
    ),
  },
});
