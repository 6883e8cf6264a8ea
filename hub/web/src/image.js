// Preprocessing of a photograph: resized like Pillow, scaled, normalised.
import { decodeDeepPng } from "./deep_png.js";

// The filters of Pillow by number: radius, and weight at a distance in pixels of the smaller image.
const FILTERS = {
  2: [1, (t) => 1 - t],
  3: [2, (t) => (t < 1 ? (1.5 * t - 2.5) * t * t + 1 : ((2.5 - 0.5 * t) * t - 4) * t + 2)],
};

const LARGEST = 4096; // side of a canvas that all browsers have

/** Decodes an image file: upright, transparent pixels on white, as ImageData. Beyond 4,096 pixels a side it is reduced. */
export async function decode(file) {
  try {
    const deep = await decodeDeepPng(file);
    if (deep) return shrink(deep, LARGEST);
    const bitmap = await createImageBitmap(file);
    const data = pixels(bitmap, LARGEST);
    bitmap.close();
    return data;
  } catch {
    throw new Error(`${file.name || "this"} is not an image that this browser can read`);
  }
}

/** ImageData as ImageData whose longer side is at most `side`. */
export function shrink(image, side) {
  const canvas = new OffscreenCanvas(image.width, image.height);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return pixels(canvas, side);
}

function pixels(source, side) {
  const factor = Math.min(1, side / Math.max(source.width, source.height));
  const [width, height] = [source.width, source.height].map((size) => Math.max(1, Math.round(size * factor)));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** Converts ImageData to a Float32Array of 3 x height x width, for the model of model.json. */
export function prepare(image, { height, width, resample, mean, std }) {
  const rows = resize(image.data, image.width, image.height, width, resample, 4); // both passes run along x, the second on the transposed image
  const small = resize(transpose(rows, width, image.height), image.height, width, height, resample, 3);
  const pixels = new Float32Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) {
        pixels[(c * height + y) * width + x] = (small[(x * height + y) * 3 + c] / 255 - mean[c]) / std[c];
      }
    }
  }
  return pixels;
}

/** Resizes the rows of RGB(A) pixels to another width; the filter grows with the reduction. Returns RGB bytes. */
function resize(source, width, height, newWidth, resample, channels) {
  const [radius, weigh] = FILTERS[resample];
  const scale = width / newWidth;
  const stretch = Math.max(scale, 1);
  const support = radius * stretch;
  const result = new Uint8ClampedArray(newWidth * height * 3);
  for (let x = 0; x < newWidth; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(width, Math.floor(centre + support + 0.5));
    const weights = [];
    for (let i = first; i < last; i++) {
      const distance = Math.abs((i + 0.5 - centre) / stretch);
      weights.push(distance < radius ? weigh(distance) : 0);
    }
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let i = first; i < last; i++) sum += weights[i - first] * source[(y * width + i) * channels + c];
        result[(y * newWidth + x) * 3 + c] = sum / total; // rounded by the array
      }
    }
  }
  return result;
}

function transpose(source, width, height) {
  const result = new Uint8ClampedArray(source.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++) result[(x * height + y) * 3 + c] = source[(y * width + x) * 3 + c];
    }
  }
  return result;
}
