// The labeller in the page: a model as anywidget's, whose strokes go to the server as the value of this component.

const LOOK = ["tool", "label", "brush_size", "opacity", "overlay"];

/** Labels as [value, count, value, count, ...]. */
function pack(labels) {
  const runs = [];
  for (const label of labels) {
    if (runs.at(-2) === label) runs[runs.length - 1]++;
    else runs.push(label, 1);
  }
  return runs;
}

function unpack(runs, length) {
  const labels = new Uint8Array(length);
  for (let i = 0, at = 0; i < runs.length; at += runs[i + 1], i += 2) labels.fill(runs[i], at, at + runs[i + 1]);
  return labels;
}

let model, sketch, close, revision, number, waiting, about;
let look = {}; // what was chosen before, for the next picture

function tell() {
  props.value = { revision, strokes: waiting };
  Object.assign(element.dataset, { strokes: number, waiting: waiting.length }); // for tests that wait for the server
}

function send(message, _, [buffer]) {
  waiting = [...waiting, { number: ++number, box: message.box, runs: pack(new Uint8Array(buffer)) }];
  tell();
  trigger("input");
  keep();
  kept.unsaved("shots");
}

/** Keep the drawing, and what a reload needs to draw on it again, in the browser. */
function keep() {
  const look = Object.fromEntries(LOOK.map((name) => [name, model.get(name)]));
  kept.put({ board: { about, look, labels: pack(sketch.labels(0)) } });
}

function show(sent) {
  close?.();
  element.replaceChildren();
  [revision, number, waiting, about] = [sent.revision, 0, [], sent.about];
  const [height, width] = sent.size;
  const values = {
    _size: sent.size,
    _classes: sent.about.classes.map((name, i) => ({ name, color: sent.palette[i] })),
    _pictures: [Uint8Array.from(atob(sent.picture), (letter) => letter.charCodeAt(0))],
    _labels: { revision, data: unpack(sent.labels, height * width) },
    _smooth: true,
    index: 0,
    tool: "brush",
    label: 1,
    brush_size: Math.max(1, 2 * Math.floor(width / 32) - 1),
    opacity: 0.6,
    overlay: true,
  };
  Object.assign(values, look);
  values.label = Math.min(values.label, sent.about.classes.length - 1);
  model = new Model(values, send);
  for (const name of LOOK) model.on(`change:${name}`, () => ((look[name] = model.get(name)), keep()));
  sketch = new Sketch(model);
  close = view(model, sketch, element);
  element.dataset.revision = revision;
  tell();
}

// Number keys choose a part wherever on the page nothing else takes them.
document.addEventListener("keydown", (event) => {
  if (event.target.closest?.("input, textarea, select, [contenteditable], .toolkit-labeller")) return;
  if (event.ctrlKey || event.metaKey || event.altKey || !/^[0-9]$/.test(event.key)) return;
  if (Number(event.key) >= model.get("_classes").length) return;
  model.set("label", Number(event.key));
  if (["eraser", "hand"].includes(model.get("tool"))) model.set("tool", "brush");
});

watch("value", () => {
  const sent = props.value;
  if (sent?.picture) {
    show(sent);
    keep();
    kept.file("sample", sent.sample);
    return;
  }
  if (sent?.revision === revision && "received" in sent) waiting = waiting.filter((each) => each.number > sent.received);
  tell();
});

kept.before().then((before) => {
  if (before?.board) look = before.board.look;
  show(props.value);
  if (!before?.board) return;
  props.value = { before };
  trigger("restore");
});
