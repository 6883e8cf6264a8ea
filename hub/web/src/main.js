// The page: takes a photograph; shows its classes, the map of the selected class, and the classes at the pointer.
import { decode, prepare } from "./image.js";
import { explain, loadModel } from "./model.js";
import { enlarge, paint } from "./paint.js";

const SHOWN = 5;
const SIDE = 640; // longest side of the picture on the page, in pixels
const by = (id) => document.getElementById(id);
const canvas = by("canvas");
const percent = (value) => `${(100 * value).toFixed(1)} %`;
let model, found, picture, chosen, map;

function say(state, text) {
  document.body.dataset.state = state;
  by("status").textContent = text;
}

async function open(file) {
  if (!model || !file) return;
  say("working", "Running the model …");
  const start = performance.now();
  try {
    const image = await decode(file);
    found = await explain(model, prepare(image, model));
    picture = shrink(image);
  } catch (error) {
    say("failed", `Failed: ${error.message}.`);
    return;
  }
  [canvas.width, canvas.height, canvas.hidden] = [picture.width, picture.height, false];
  const best = [...found.scores.keys()].sort((a, b) => found.scores[b] - found.scores[a]).slice(0, SHOWN);
  by("classes").replaceChildren(...best.map(button));
  choose(best[0]);
  document.body.dataset.milliseconds = Math.round(performance.now() - start);
  say("explained", `${model.file}, ${document.body.dataset.milliseconds} ms from file to map.`);
}

function shrink(image) {
  const factor = Math.min(1, SIDE / Math.max(image.width, image.height));
  const from = new OffscreenCanvas(image.width, image.height);
  from.getContext("2d").putImageData(image, 0, 0);
  const to = new OffscreenCanvas(Math.max(1, Math.round(image.width * factor)), Math.max(1, Math.round(image.height * factor)));
  const context = to.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(from, 0, 0, to.width, to.height);
  return context.getImageData(0, 0, to.width, to.height);
}

function button(label) {
  const item = document.createElement("li");
  const press = document.createElement("button");
  const score = document.createElement("b");
  const bar = document.createElement("i");
  score.textContent = percent(found.scores[label]);
  bar.style.width = percent(found.scores[label]).replace(" ", "");
  press.append(model.labels[label], score, bar);
  Object.assign(press.dataset, { class: label, label: model.labels[label], score: found.scores[label] });
  press.addEventListener("click", () => choose(label));
  item.append(press);
  return item;
}

function choose(label) {
  chosen = label;
  for (const press of document.querySelectorAll("#classes button")) {
    press.setAttribute("aria-pressed", String(Number(press.dataset.class) === label));
  }
  map = enlarge(found, label, picture.width, picture.height);
  draw();
}

function draw() {
  const threshold = Number(by("threshold").value);
  document.querySelector("output").textContent = threshold.toFixed(2);
  if (!found) return;
  canvas.dataset.covered = paint(canvas.getContext("2d"), picture, map, Number(by("opacity").value), threshold);
  canvas.setAttribute("aria-label", `${model.labels[chosen]} on ${percent(Number(canvas.dataset.covered))} of the picture`);
}

function point(event) {
  if (!found) return;
  const box = canvas.getBoundingClientRect();
  const column = Math.min(found.columns - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * found.columns)));
  const row = Math.min(found.rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * found.rows)));
  const here = (label) => found.masks[(label * found.rows + row) * found.columns + column];
  const best = [...found.scores.keys()].sort((a, b) => here(b) - here(a)).slice(0, SHOWN);
  by("place").replaceChildren(
    ...best.map((label) => {
      const line = document.createElement("tr");
      for (const text of [model.labels[label], percent(here(label))]) line.insertCell().textContent = text;
      return line;
    }),
  );
  Object.assign(by("place").dataset, { row, column });
}

by("file").addEventListener("change", (event) => open(event.target.files[0]));
for (const id of ["opacity", "threshold"]) by(id).addEventListener("input", draw);
canvas.addEventListener("pointermove", point);
addEventListener("dragover", (event) => (event.preventDefault(), by("drop").classList.add("over")));
addEventListener("dragleave", () => by("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  by("drop").classList.remove("over");
  open(event.dataTransfer.files[0]);
});

try {
  model = await loadModel("model", new URLSearchParams(location.search).get("precision"));
  say("ready", `Ready: ${model.labels.length} classes, ${model.file}.`);
} catch (error) {
  say("failed", `The model cannot be loaded: ${error.message}.`);
}
