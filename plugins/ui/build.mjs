// Bundles web/ into src/cloudos_ui/static: hashed names, a manifest, compressed copies, the licences of what is in it.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const BUDGET = 60 * 1024; // gzip bytes of the first load
const out = "src/cloudos_ui/static";
const shared = { preact: "preact", hooks: "preact/hooks", signals: "@preact/signals", htm: "htm", cloudos: "cloudos" };

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const common = { bundle: true, minify: true, format: "esm", target: "es2022", metafile: true, outdir: out, legalComments: "none", loader: { ".ftl": "text" } };
const modules = await build({
  ...common,
  entryPoints: ["web/main.js", ...Object.keys(shared).map((name) => `web/shared/${name}.js`)],
  entryNames: "[name]-[hash]",
  chunkNames: "chunk-[hash]",
  assetNames: "[name]-[hash]",
  splitting: true,
  alias: { cloudos: "./web/shared/cloudos.js" },
});
const plain = await build({ ...common, format: "iife", splitting: false, entryPoints: ["web/events_worker.js", "web/early.js"], entryNames: "[name]-[hash]" });
const styles = await build({ ...common, entryPoints: ["web/app.css"], entryNames: "[name]-[hash]" });

const outputs = { ...modules.metafile.outputs, ...plain.metafile.outputs, ...styles.metafile.outputs };
const built = (entry) => basename(Object.entries(outputs).find(([, each]) => each.entryPoint === entry)[0]);
const copy = (source) => {
  const content = readFileSync(source);
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase();
  const [stem, ending] = basename(source).split(".");
  writeFileSync(join(out, `${stem}-${hash}.${ending}`), content);
  return `${stem}-${hash}.${ending}`;
};

// what the entry imports at once, so that the browser asks for all of it in one go
const first = new Set();
const follow = (path) => {
  if (first.has(path)) return;
  first.add(path);
  for (const each of outputs[path].imports) if (each.kind === "import-statement") follow(each.path);
};
follow(join(out, built("web/main.js")));

const manifest = {
  entry: built("web/main.js"),
  early: built("web/early.js"),
  worker: built("web/events_worker.js"),
  style: built("web/app.css"),
  icon: copy("web/icon.svg"),
  preload: [...first].map((path) => basename(path)).filter((name) => name !== built("web/main.js")),
  imports: Object.fromEntries(Object.entries(shared).map(([file, name]) => [name, built(`web/shared/${file}.js`)])),
  locales: Object.fromEntries(readdirSync("web/locales").filter((f) => f !== "en.ftl").map((f) => [f.replace(".ftl", ""), copy(`web/locales/${f}`)])),
};
writeFileSync(join(out, "manifest.json"), JSON.stringify(manifest, null, 1));

let size = 0;
for (const name of readdirSync(out)) {
  if (!/\.(js|css|svg|ftl)$/.test(name)) continue;
  const packed = gzipSync(readFileSync(join(out, name)), { level: 9 });
  writeFileSync(join(out, `${name}.gz`), packed);
  if ([manifest.entry, manifest.early, manifest.style, ...manifest.preload].includes(name)) size += packed.length;
}

const packages = new Set(Object.keys({ ...modules.metafile.inputs, ...plain.metafile.inputs })
  .map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean));
const texts = [...packages].sort().map((name) => {
  const folder = join("node_modules", name);
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json")));
  return `${name} ${version} (${license})\n\n${file ? readFileSync(join(folder, file), "utf8") : ""}`;
});
writeFileSync(join(out, "THIRD-PARTY.txt"), texts.join("\n\n----\n\n"));

console.log(`first load ${(size / 1024).toFixed(1)} kB gzip in ${manifest.preload.length + 3} files`);
if (size > BUDGET) {
  console.error(`the first load is over its budget of ${BUDGET / 1024} kB`);
  process.exit(1);
}
