// Loads the exported model and runs it on one photograph.
import * as ort from "onnxruntime-web/wasm";

ort.env.wasm.wasmPaths = new URL("./", document.baseURI).href;
// As fast as fp32 within a tenth, half of the download; int8 is slower than both: docs/experiments/deployment.md
const PREFERRED = ["fp16", "fp32", "int8"];
ort.env.wasm.numThreads = 1; // more threads need HTTP headers that a simple file server does not send

/** Loads `model.json` and a graph: of the given precision, or the preferred one of those that there are. */
export async function loadModel(folder, precision) {
  const answer = await fetch(`${folder}/model.json`);
  if (!answer.ok) throw new Error(`there is no model at ${folder}: status ${answer.status}`);
  const model = await answer.json();
  const offered = PREFERRED.filter((name) => name in model.files);
  if (precision && !offered.includes(precision)) throw new Error(`${precision} is not among its precisions: ${offered.join(", ")}`);
  const file = model.files[precision ?? offered[0]];
  const session = await ort.InferenceSession.create(`${folder}/${file}`, { executionProviders: ["wasm"] });
  return { ...model, file, session };
}

/**
 * @param pixels Float32Array of 3 x height x width, normalised.
 * @returns logits and scores (one per class), masks (probabilities, classes x rows x columns), rows, columns.
 */
export async function explain(model, pixels) {
  const input = new ort.Tensor("float32", pixels, [1, 3, model.height, model.width]);
  const { logits, scores, masks } = await model.session.run({ pixel_values: input }, ["logits", "scores", "masks"]);
  const [, , rows, columns] = masks.dims;
  return { logits: logits.data, scores: scores.data, masks: masks.data, rows, columns };
}
