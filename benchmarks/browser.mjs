// Processor time of one pass of exported graphs in the runtime of the browser page, in Node.js, on one thread.
// node browser.mjs PACKAGES FOLDER SIZE ROUNDS PRECISION=FILE ...
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";

const [packages, folder, size, rounds, ...graphs] = process.argv.slice(2);
const runtime = join(packages, "node_modules", "onnxruntime-web", "dist", "ort.wasm.bundle.min.mjs"); // that of the page
const ort = await import(pathToFileURL(runtime));
ort.env.wasm.numThreads = 1;
const sessions = {};
for (const [name, file] of graphs.map((graph) => graph.split("="))) {
  sessions[name] = await ort.InferenceSession.create(readFileSync(join(folder, file)), { executionProviders: ["wasm"] });
}
const side = Number(size);
const pixels = Float32Array.from({ length: 3 * side * side }, (_, place) => Math.sin(place));
const input = { pixel_values: new ort.Tensor("float32", pixels, [1, 3, side, side]) };
const milliseconds = Object.fromEntries(Object.keys(sessions).map((name) => [name, []]));
for (let round = 0; round < Number(rounds); round++) {
  for (const [name, session] of Object.entries(sessions)) { // in turn
    const before = process.cpuUsage();
    await session.run(input);
    const { user, system } = process.cpuUsage(before);
    milliseconds[name].push((user + system) / 1000);
  }
}
console.log(JSON.stringify({ node: process.version, runtime: ort.env.versions.web, milliseconds }));
