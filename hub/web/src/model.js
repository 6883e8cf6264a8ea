// Loads the exported model and runs it on one photograph: on the GPU where the browser has WebGPU, else on the CPU with
// WebAssembly.

// As fast as fp32 within a tenth, half of the download; int8 is slower than both: docs/experiments/deployment.md
const PREFERRED = ["fp16", "fp32", "int8"];
const MOST_THREADS = 4;
const RUNTIMES = { webgpu: () => import("onnxruntime-web/webgpu"), wasm: () => import("onnxruntime-web/wasm") };

/**
 * Loads `model.json` and a graph.
 * @param folder address of the folder.
 * @param precision of the graph; by default the preferred one of those that there are.
 * @param device "webgpu" or "wasm"; by default WebGPU where it is there.
 */
export async function loadModel(folder, { precision, device } = {}) {
  const answer = await fetch(`${folder}/model.json`);
  if (!answer.ok) throw new Error(`there is no model at ${folder}: status ${answer.status}`);
  const description = await answer.json();
  const offered = PREFERRED.filter((name) => name in description.files);
  if (precision && !offered.includes(precision)) throw new Error(`${precision} is not among its precisions: ${offered.join(", ")}`);
  if (device && !(device in RUNTIMES)) throw new Error(`${device} is not among the devices: ${Object.keys(RUNTIMES).join(", ")}`);
  const model = { ...description, folder, offered, precision };
  const adapter = device !== "wasm" && (await navigator.gpu?.requestAdapter().catch(() => null));
  if (adapter) {
    try {
      return await start(model, "webgpu", adapter.features.has("shader-f16"));
    } catch (error) {
      console.warn("WebGPU failed, the CPU is used:", error);
    }
  }
  return start(model, "wasm", true);
}

async function start(model, device, hasFloat16) {
  const ort = await RUNTIMES[device]();
  ort.env.wasm.wasmPaths = new URL("./", document.baseURI).href;
  // Threads need memory that they share, which browsers allow to pages with the headers of the Space.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  const precision = model.precision ?? model.offered.find((name) => name !== "fp16" || hasFloat16) ?? model.offered[0];
  const file = model.files[precision];
  const options = { executionProviders: [device], logSeverityLevel: 3 }; // not that shapes are computed on the CPU
  const session = await ort.InferenceSession.create(`${model.folder}/${file}`, options);
  return { ...model, file, device, threads: device === "wasm" ? ort.env.wasm.numThreads : 0, session, ort };
}

/**
 * Explains one photograph. If the GPU fails, `model` is changed to one on the CPU.
 * @param pixels Float32Array of 3 x height x width, normalised.
 * @returns logits and scores (one per class), masks (probabilities, classes x rows x columns), rows, columns; distance
 * of the features, where it is the confidence.
 */
export async function explain(model, pixels) {
  try {
    return await run(model, pixels);
  } catch (error) {
    if (model.device === "wasm") throw error;
    console.warn("WebGPU failed, the CPU is used:", error);
    Object.assign(model, await start(model, "wasm", true));
    return run(model, pixels);
  }
}

async function run({ ort, session, height, width }, pixels) {
  const input = new ort.Tensor("float32", pixels, [1, 3, height, width]);
  const outputs = await session.run({ pixel_values: input });
  const [, , rows, columns] = outputs.masks.dims;
  const named = Object.entries(outputs).map(async ([name, values]) => [name, await values.getData()]);
  const { logits, scores, masks, distance } = Object.fromEntries(await Promise.all(named));
  return { logits, scores, masks, rows, columns, distance: distance?.[0] };
}
