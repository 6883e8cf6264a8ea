// Builds the page: npm run build -- MODEL_FOLDER [OUTPUT]
// MODEL_FOLDER: written by `pm-vit export`, or its sub-folder onnx/, as in a published model. OUTPUT (default: dist): can
// be served by any static file server.
import { cpSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const [given, output = join(here, "dist")] = process.argv.slice(2);
// As in serving/exported.py; older versions wrote the folder itself.
const model = [join(given ?? "", "onnx"), given ?? ""].find((folder) => existsSync(join(folder, "model.json")));
if (!given || !model) {
  console.error(`build: expected a folder that pm-vit export wrote, with onnx/model.json, got ${given}`);
  process.exit(2);
}

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
await build({
  entryPoints: [join(here, "src", "main.js")],
  outdir: output,
  bundle: true,
  splitting: true, // the browser loads one of the two runtimes
  chunkNames: "[name]",
  minify: true,
  format: "esm",
});
for (const name of ["index.html", "style.css"]) copyFileSync(join(here, name), join(output, name));
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
for (const kind of ["", ".asyncify"]) { // of the CPU, of the GPU
  for (const suffix of ["wasm", "mjs"]) copyFileSync(join(runtime, `ort-wasm-simd-threaded${kind}.${suffix}`), join(output, `ort-wasm-simd-threaded${kind}.${suffix}`));
}
cpSync(model, join(output, "model"), { recursive: true });
console.log(`${resolve(output)}: ${readdirSync(output).join(" ")}`);
