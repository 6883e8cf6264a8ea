// Greyscale PNGs of 16 bits, of which a browser keeps the upper 8: they are read here, and scaled by the range of their
// values as in the training (image_loading_pm_vit.py).

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const DEPTHS = [8, 10, 12, 14, 16]; // bits that a sensor can have
const MOST_PIXELS = 2 ** 26;
const DATA = 0x49444154; // IDAT

/** ImageData of a file, undefined if it is anything but a greyscale PNG of 16 bits without interlacing. */
export async function decodeDeepPng(file) {
  const head = new DataView(await file.slice(0, 29).arrayBuffer());
  if (head.byteLength < 29 || SIGNATURE.some((byte, index) => head.getUint8(index) !== byte)) return undefined;
  const [width, height] = [head.getUint32(16), head.getUint32(20)];
  const [depth, colour, interlacing] = [24, 25, 28].map((at) => head.getUint8(at));
  if (depth !== 16 || colour !== 0 || interlacing !== 0 || width * height > MOST_PIXELS) return undefined;
  const values = unfiltered(await inflated(new DataView(await file.arrayBuffer())), width, height);
  let highest = 0;
  for (const value of values) highest = Math.max(highest, value);
  const top = DEPTHS.map((bits) => 2 ** bits - 1).find((most) => most >= highest);
  const image = new ImageData(width, height);
  values.forEach((value, index) => image.data.fill(Math.round((value * 255) / top), 4 * index, 4 * index + 3));
  for (let index = 3; index < image.data.length; index += 4) image.data[index] = 255;
  return image;
}

async function inflated(view) {
  const parts = [];
  for (let at = 8; at + 12 <= view.byteLength; at += 12 + view.getUint32(at)) {
    if (view.getUint32(at + 4) === DATA) parts.push(new Uint8Array(view.buffer, at + 8, view.getUint32(at)));
  }
  const stream = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undoes the filters of the rows: each byte was stored as its difference from a prediction. */
function unfiltered(bytes, width, height) {
  const size = 2 * width;
  if (bytes.length < height * (size + 1)) throw new Error("the file is truncated");
  let above = new Uint8Array(size);
  const values = new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (size + 1)];
    const row = bytes.subarray(y * (size + 1) + 1, (y + 1) * (size + 1));
    for (let x = 0; x < size; x++) {
      const [left, corner] = x < 2 ? [0, 0] : [row[x - 2], above[x - 2]];
      row[x] += [0, left, above[x], (left + above[x]) >> 1, nearest(left, above[x], corner)][filter];
    }
    for (let x = 0; x < width; x++) values[y * width + x] = 256 * row[2 * x] + row[2 * x + 1];
    above = row;
  }
  return values;
}

/** The predictor of the last filter: the neighbour that is nearest to left + above - corner. */
function nearest(left, above, corner) {
  const [l, a, c] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  return l <= a && l <= c ? left : a <= c ? above : corner;
}
