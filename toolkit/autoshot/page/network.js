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
async function startNetwork({ resolution }) {
  const address = URL.createObjectURL(new Blob([await unpacked("runtime")], { type: "text/javascript" }));
  const ort = await import(address);
  ort.env.wasm.numThreads = 1; // more would need headers that a file on a disk has not
  ort.env.wasm.wasmBinary = await unpacked("wasm");
  const session = await ort.InferenceSession.create(await unpacked("model"));
  let turn = Promise.resolve(); // one picture after the other

  const segment = async (source, from) => {
    const seen = fitted(from, Math.min(resolution / Math.min(from.width, from.height),
      (LONGEST * resolution) / Math.max(from.width, from.height)), Math.round);
    const image = Float32Array.from(resized(source, from, seen), (value) => value / 127.5 - 1);
    const outputs = await session.run({ image: new ort.Tensor("float32", image, [1, 3, seen.height, seen.width]) });
    const size = fitted(from, Math.min(1, Math.sqrt(RESULT_PIXELS / (from.width * from.height))), Math.floor);
    const labels = labelled(outputs.logits.data, outputs.logits.dims.slice(1), size);
    return { labels, size, trust: outputs.trust?.data[0] };
  };
  return (source, from) => (turn = turn.catch(() => {}).then(() => segment(source, from)));
}

const fitted = ({ width, height }, scale, round) => ({
  width: Math.max(1, round(width * scale)),
  height: Math.max(1, round(height * scale)),
});
