// The page: takes a photograph; shows its classes, the map of the selected class, and the classes at a place.
import { doubtOf, textOf } from "./confidence.js";
import { decode, prepare, shrink } from "./image.js";
import { explain, loadModel } from "./model.js";
import { enlarge, frame, paint } from "./paint.js";

const SHOWN = 5;
const SIDE = 640; // longest side of the picture on the page, in pixels
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0] };
const by = (id) => document.getElementById(id);
const canvas = by("canvas");
const percent = (value) => `${(100 * value).toFixed(1)} %`;
let model, found, picture, chosen, map, place;

function say(state, text) {
  document.body.dataset.state = state;
  document.querySelector("main").setAttribute("aria-busy", String(state === "loading" || state === "working"));
  by("status").textContent = text;
}

const runtime = () => `${model.file} on ${model.device === "wasm" ? "the CPU" : "the GPU"}`;

async function open(file) {
  clear();
  say("working", "Running the model …");
  const start = performance.now();
  try {
    const image = await decode(file);
    found = await explain(model, prepare(image, model));
    picture = shrink(image, SIDE);
  } catch (error) {
    clear();
    say("failed", `Failed: ${error.message}.`);
    return;
  }
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.hidden = by("keys").hidden = false;
  by("doubt").textContent = textOf(doubtOf(model, found));
  const best = ranking(found.scores);
  by("classes").replaceChildren(...best.map(button));
  choose(best[0]);
  document.body.dataset.milliseconds = Math.round(performance.now() - start);
  const answer = `${model.labels[best[0]]} ${percent(found.scores[best[0]])}`;
  say("explained", `Most probable: ${answer}. ${runtime()}, ${document.body.dataset.milliseconds} ms from file to map.`);
}

/** Removes all that the page says of the photograph before. */
function clear() {
  found = place = undefined;
  canvas.hidden = by("keys").hidden = by("here").hidden = true;
  for (const id of ["classes", "doubt", "place", "spoken"]) by(id).replaceChildren();
}

function ranking(values) {
  return [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, SHOWN);
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
  const context = canvas.getContext("2d");
  canvas.dataset.covered = paint(context, picture, map, Number(by("opacity").value), threshold);
  if (place) frame(context, place, found);
  canvas.setAttribute("aria-label", `${model.labels[chosen]} on ${percent(Number(canvas.dataset.covered))} of the picture`);
}

/** Shows the classes at a patch. They are spoken too, unless the pointer only passes. */
function report(column, row, spoken) {
  const within = (value, count) => Math.min(count - 1, Math.max(0, value));
  place = { column: within(column, found.columns), row: within(row, found.rows) };
  const here = model.labels.map((_, label) => found.masks[(label * found.rows + place.row) * found.columns + place.column]);
  const lines = ranking(here).map((label) => [model.labels[label], percent(here[label])]);
  by("here").hidden = false;
  by("place").replaceChildren(
    ...lines.map((texts) => {
      const line = document.createElement("tr");
      for (const text of texts) line.insertCell().textContent = text;
      return line;
    }),
  );
  Object.assign(by("place").dataset, place);
  if (spoken) {
    const where = `Row ${place.row + 1} of ${found.rows}, column ${place.column + 1} of ${found.columns}`;
    by("spoken").textContent = `${where}: ${lines.map((texts) => texts.join(" ")).join(", ")}`;
  }
  draw();
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  const column = Math.floor(((event.clientX - box.left) / box.width) * found.columns);
  const row = Math.floor(((event.clientY - box.top) / box.height) * found.rows);
  if (event.type === "pointerdown" || column !== place?.column || row !== place?.row) {
    report(column, row, event.type === "pointerdown");
  }
}

function move(event) {
  const step = STEPS[event.key];
  if (!step || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault(); // the arrow keys would scroll
  report(place.column + step[0], place.row + step[1], true);
}

function take(file) {
  if (!file) return;
  if (document.body.dataset.state === "loading") by("status").textContent = `Loading the model, then ${file.name} …`;
  queue = queue.then(() => model && open(file));
}

by("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
for (const id of ["opacity", "threshold"]) by(id).addEventListener("input", draw);
for (const type of ["pointerdown", "pointermove"]) canvas.addEventListener(type, point); // a tap does not move
canvas.addEventListener("keydown", move);
canvas.addEventListener("focus", () => place || report(found.columns >> 1, found.rows >> 1, true));
addEventListener("dragover", (event) => (event.preventDefault(), by("drop").classList.add("over")));
addEventListener("dragleave", () => by("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  by("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});

async function load() {
  try {
    model = await loadModel("model", Object.fromEntries(new URLSearchParams(location.search)));
    say("ready", `Ready: ${model.labels.length} classes, ${runtime()}.`);
  } catch (error) {
    say("failed", `The model cannot be loaded: ${error.message}.`);
  }
}

let queue = load(); // then one photograph after the other
