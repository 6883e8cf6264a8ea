// Draws the map of a class over a photograph, like `overlay` in modeling_pm_vit/visualization.py.
const TINT = [213, 94, 0];

/** Interpolates the patch probabilities of a class bilinearly to all pixels. */
export function enlarge({ masks, rows, columns }, label, width, height) {
  const map = masks.subarray(label * rows * columns, (label + 1) * rows * columns);
  const result = new Float32Array(width * height);
  const across = Array.from({ length: width }, (_, x) => corner(x, width, columns));
  for (let y = 0; y < height; y++) {
    const [top, bottom, v] = corner(y, height, rows);
    for (let x = 0; x < width; x++) {
      const [left, right, u] = across[x];
      const above = map[top * columns + left] * (1 - u) + map[top * columns + right] * u;
      const below = map[bottom * columns + left] * (1 - u) + map[bottom * columns + right] * u;
      result[y * width + x] = above * (1 - v) + below * v;
    }
  }
  return result;
}

function corner(pixel, size, cells) {
  const at = Math.min(Math.max(((pixel + 0.5) * cells) / size - 0.5, 0), cells - 1);
  const low = Math.floor(at);
  return [low, Math.min(low + 1, cells - 1), at - low];
}

/** Tints by opacity x probability and draws a white line around the pixels that reach the threshold. Returns their share. */
export function paint(context, image, map, opacity, threshold) {
  const { width, height } = image;
  const painted = new ImageData(new Uint8ClampedArray(image.data), width, height);
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && map[y * width + x] >= threshold;
  const line = Math.max(1, Math.round(Math.min(width, height) / 150));
  let covered = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const i = y * width + x;
      const alpha = opacity * map[i];
      for (let c = 0; c < 3; c++) painted.data[4 * i + c] += alpha * (TINT[c] - painted.data[4 * i + c]);
      if (map[i] < threshold) continue;
      covered++;
      const edge = !inside(x - line, y) || !inside(x + line, y) || !inside(x, y - line) || !inside(x, y + line);
      if (edge) painted.data.fill(255, 4 * i, 4 * i + 3);
    }
  }
  context.putImageData(painted, 0, 0);
  return covered / (width * height);
}

/** Draws a frame around a patch, visible on light and on dark pixels. */
export function frame(context, { column, row }, { columns, rows }) {
  const { width, height } = context.canvas;
  const [left, top] = [(column * width) / columns, (row * height) / rows];
  for (const [colour, line] of [["#000", 4], ["#fff", 2]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: line });
    context.strokeRect(left, top, width / columns, height / rows);
  }
}
