// The network, from this page alone: its runtime, its WebAssembly and its weights lie in script elements.

const LONGEST = 16; // times the resolution: the longest side of what the network sees
const RESULT_PIXELS = 1 << 20; // of a label map at most; a larger picture takes the nearest label

/** The bytes that a script element holds. */
async function unpacked(id) {
  const element = document.getElementById(id);
  const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  element.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A function that segments: (what a canvas can draw, its {width, height}) -> {labels, size, trust}. */
async function startNetwork({ resolution, fit }) {
  const address = URL.createObjectURL(new Blob([await unpacked("runtime")], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1; // more would need headers that a file on a disk has not
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  const session = await ort.InferenceSession.create(await unpacked("model"));
  let turn = Promise.resolve(); // one picture after the other

  const segment = async (source, from) => {
    const shortest = Math.min(from.width, from.height), longest = Math.max(from.width, from.height);
    const scale = fit === "pad" ? resolution / longest : Math.min(resolution / shortest, (LONGEST * resolution) / longest);
    const seen = fitted(from, scale, Math.round);
    const whole = fit === "pad" ? { width: resolution, height: resolution } : seen;
    const image = centred(Float32Array.from(resized(source, from, seen), (value) => value / 127.5 - 1), seen, whole);
    const outputs = await session.run({ image: new ort.Tensor("float32", image, [1, 3, whole.height, whole.width]) });
    const scores = centred(outputs.logits.data, whole, seen);
    const size = fitted(from, Math.min(1, Math.sqrt(RESULT_PIXELS / (from.width * from.height))), Math.floor);
    const labels = labelled(scores, [outputs.logits.dims[1], seen.height, seen.width], size);
    return { labels, size, trust: outputs.trust?.data[0] };
  };
  return (source, from) => (turn = turn.catch(() => {}).then(() => segment(source, from)));
}

/** Planes of one size, cut to the middle or, where the other is larger, with their edges repeated around them. */
function centred(values, from, to) {
  const planes = values.length / (from.width * from.height);
  const found = new Float32Array(planes * to.width * to.height);
  const left = Math.trunc((from.width - to.width) / 2), top = Math.trunc((from.height - to.height) / 2);
  const inside = (at, length) => Math.min(Math.max(at, 0), length - 1);
  for (let plane = 0, at = 0; plane < planes; plane++) {
    for (let y = 0; y < to.height; y++) {
      const row = (plane * from.height + inside(y + top, from.height)) * from.width;
      for (let x = 0; x < to.width; x++) found[at++] = values[row + inside(x + left, from.width)];
    }
  }
  return found;
}

const fitted = ({ width, height }, scale, round) => ({
  width: Math.max(1, round(width * scale)),
  height: Math.max(1, round(height * scale)),
});
