// From the network's scores to labels, and from labels to a file.

/** The class of each of width x height pixels: scores (classes, rows, columns) upsampled bilinearly, the largest wins. */
function labelled(scores, [classes, rows, columns], { width, height }) {
  const labels = new Uint8Array(width * height);
  const down = neighbours(rows, height);
  const across = neighbours(columns, width);
  const line = new Float64Array(classes * columns);
  for (let y = 0, pixel = 0; y < height; y++) {
    for (let k = 0, at = 0; k < classes; k++) {
      const upper = (k * rows + down.first[y]) * columns;
      const lower = (k * rows + down.second[y]) * columns;
      for (let x = 0; x < columns; x++) {
        line[at++] = scores[upper + x] + down.share[y] * (scores[lower + x] - scores[upper + x]);
      }
    }
    for (let x = 0; x < width; x++, pixel++) {
      const share = across.share[x];
      let left = across.first[x], right = across.second[x], best = -Infinity;
      for (let k = 0; k < classes; k++, left += columns, right += columns) {
        const score = line[left] + share * (line[right] - line[left]);
        if (score > best) {
          best = score;
          labels[pixel] = k;
        }
      }
    }
  }
  return labels;
}

/** For each of `to` pixels the two of `from` between which it lies, and how far from the first. */
function neighbours(from, to) {
  const first = new Uint32Array(to), second = new Uint32Array(to), share = new Float64Array(to);
  for (let i = 0; i < to; i++) {
    const at = Math.max(0, ((i + 0.5) * from) / to - 0.5);
    first[i] = at; // rounded down
    second[i] = Math.min(first[i] + 1, from - 1);
    share[i] = at - first[i];
  }
  return { first, second, share };
}

/** Labels of `from` {width, height} on the pixels of `to`: the nearest. */
function nearest(labels, from, to) {
  const column = Uint32Array.from({ length: to.width }, (_, x) => ((x + 0.5) * from.width) / to.width);
  const wide = new Uint8Array(to.width * to.height);
  for (let y = 0, at = 0; y < to.height; y++) {
    const row = Math.floor(((y + 0.5) * from.height) / to.height) * from.width;
    for (let x = 0; x < to.width; x++) wide[at++] = labels[row + column[x]];
  }
  return wide;
}

/** A PNG whose values are the labels, and whose palette has their colours: a Blob. */
async function labelPng(labels, { width, height }, palette) {
  const lines = new Uint8Array(height * (width + 1)); // each begins with 0: no filter
  for (let y = 0; y < height; y++) lines.set(labels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Blob([lines]).stream().pipeThrough(new CompressionStream("deflate"));
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint16(8, 0x0803); // 8 bits, by palette
  const chunks = [
    chunk("IHDR", new Uint8Array(header.buffer)),
    chunk("PLTE", Uint8Array.from(palette.flat())),
    chunk("IDAT", new Uint8Array(await new Response(packed).arrayBuffer())),
    chunk("IEND", new Uint8Array()),
  ];
  return new Blob([Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a), ...chunks], { type: "image/png" });
}

function chunk(name, data) {
  const bytes = new Uint8Array(data.length + 12);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(name), 4);
  bytes.set(data, 8);
  view.setUint32(data.length + 8, checksum(bytes.subarray(4, data.length + 8)));
  return bytes;
}

/** CRC-32, as PNG wants it. */
function checksum(bytes) {
  let found = ~0;
  for (const byte of bytes) {
    found ^= byte;
    for (let bit = 0; bit < 8; bit++) found = (found >>> 1) ^ (found & 1 ? 0xedb88320 : 0);
  }
  return ~found >>> 0;
}
