// Pillow's Lanczos filter: the network sees of a picture what it would see in Python, in every browser.

const REACH = 3; // pixels of the smaller grid
const STRIP = 256; // rows held at once: phones have no canvas for a whole photograph

const sinc = (x) => (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);
const lanczos = (x) => (Math.abs(x) < REACH ? sinc(x) * sinc(x / REACH) : 0);

/** For each of `to` pixels in a row, the first of the `from` pixels it is made of, and their weights. */
function filters(from, to) {
  const scale = Math.max(1, from / to);
  return Array.from({ length: to }, (_, i) => {
    const centre = ((i + 0.5) * from) / to;
    const start = Math.max(0, Math.trunc(centre - REACH * scale + 0.5));
    const end = Math.min(from, Math.trunc(centre + REACH * scale + 0.5));
    const weights = Float64Array.from({ length: end - start }, (_, k) => lanczos((start + k - centre + 0.5) / scale));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { start, weights: weights.map((weight) => weight / sum) };
  });
}

/** What a canvas can draw, `from` {width, height}, resized to `to`: its colours 0 to 255, plane by plane. */
function resized(source, from, to) {
  const strip = document.createElement("canvas");
  strip.width = from.width;
  strip.height = Math.min(STRIP, from.height);
  const context = strip.getContext("2d", { willReadFrequently: true });
  const narrow = Array.from({ length: 3 }, () => new Uint8ClampedArray(from.height * to.width));
  const across = filters(from.width, to.width);
  for (let top = 0; top < from.height; top += STRIP) {
    const rows = Math.min(STRIP, from.height - top);
    context.fillStyle = "#fff"; // what is transparent lies on white
    context.fillRect(0, 0, strip.width, strip.height);
    context.drawImage(source, 0, -top, from.width, from.height);
    const { data } = context.getImageData(0, 0, from.width, rows);
    for (let y = 0; y < rows; y++) {
      across.forEach(({ start, weights }, x) => {
        let red = 0, green = 0, blue = 0;
        for (let k = 0, at = 4 * (y * from.width + start); k < weights.length; k++, at += 4) {
          red += weights[k] * data[at];
          green += weights[k] * data[at + 1];
          blue += weights[k] * data[at + 2];
        }
        const there = (top + y) * to.width + x;
        narrow[0][there] = red;
        narrow[1][there] = green;
        narrow[2][there] = blue;
      });
    }
  }
  const planes = new Uint8ClampedArray(3 * to.height * to.width);
  filters(from.height, to.height).forEach(({ start, weights }, y) => {
    narrow.forEach((plane, channel) => {
      for (let x = 0; x < to.width; x++) {
        let sum = 0;
        for (let k = 0; k < weights.length; k++) sum += weights[k] * plane[(start + k) * to.width + x];
        planes[(channel * to.height + y) * to.width + x] = sum;
      }
    });
  });
  return planes;
}
