// The page half of widgets.Labeller: a multi-class brush over exact integer labels.
//
// Labels live in one byte array a widget (255 = unlabelled), which all its views share. Tools change
// that array pixel by pixel and a canvas shows it, so nothing drawn is ever antialiased or rounded.
// A finished stroke goes to Python as one message: the rectangle it changed.

const UNLABELLED = 255;
const MAX_SCALE = 64; // screen pixels a picture pixel
const DRAG = 4; // screen pixels a press must travel to count as a drag
const PEN_ERASER = 5; // the button that a pen's other end is

// --- Shapes, as the pixels they cover. Points are pixels; a pixel is where its centre is.

/** Pixels no farther than size / 2 from the line a-b: a brush of odd diameter `size` drawn along it. */
function line(a, b, size, width, height, visit) {
  const reach = (size - 1) / 2;
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const squared = dx * dx + dy * dy;
  const [left, right] = [Math.max(0, Math.min(a.x, b.x) - reach), Math.min(width - 1, Math.max(a.x, b.x) + reach)];
  const [top, bottom] = [Math.max(0, Math.min(a.y, b.y) - reach), Math.min(height - 1, Math.max(a.y, b.y) + reach)];
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = squared && Math.min(1, Math.max(0, ((x - a.x) * dx + (y - a.y) * dy) / squared));
      const [ex, ey] = [x - a.x - along * dx, y - a.y - along * dy];
      if (4 * (ex * ex + ey * ey) <= size * size) visit(x, y);
    }
  }
}

/** Pixels inside a closed polygon (nonzero winding), and those on its outline. */
function polygon(points, width, height, visit) {
  const edges = points.map((a, i) => [a, points[(i + 1) % points.length]]);
  const rows = points.map((p) => p.y);
  for (let y = Math.max(0, Math.min(...rows)); y <= Math.min(height - 1, Math.max(...rows)); y++) {
    const crossings = edges
      .filter(([a, b]) => a.y <= y !== b.y <= y)
      .map(([a, b]) => ({ x: a.x + ((y - a.y) * (b.x - a.x)) / (b.y - a.y), turn: a.y < b.y ? 1 : -1 }))
      .sort((p, q) => p.x - q.x);
    let winding = 0;
    crossings.forEach(({ x, turn }, i) => {
      winding += turn;
      if (!winding) return;
      const end = Math.min(width - 1, crossings[i + 1].x);
      for (let inside = Math.max(0, Math.ceil(x)); inside <= end; inside++) visit(inside, y);
    });
  }
  for (const [a, b] of edges) line(a, b, 1, width, height, visit);
}

/** Pixels of one label that hang together with `start` through their sides. */
function region(labels, start, width, height, visit) {
  const wanted = labels[start.y * width + start.x];
  const seen = new Uint8Array(width * height);
  const stack = [start.y * width + start.x];
  while (stack.length) {
    const at = stack.pop();
    if (seen[at] || labels[at] !== wanted) continue;
    seen[at] = 1;
    const x = at % width;
    if (x > 0) stack.push(at - 1);
    if (x < width - 1) stack.push(at + 1);
    if (at >= width) stack.push(at - width);
    if (at < width * (height - 1)) stack.push(at + width);
  }
  seen.forEach((yes, at) => yes && visit(at % width, Math.floor(at / width)));
}

// --- The labels of all pictures, with history. Views listen to "paint" (a rectangle changed) and "load".

class Sketch extends EventTarget {
  constructor(model) {
    super();
    this.model = model;
    [this.height, this.width] = model.get("_size");
    model.on("change:_labels", () => this.load());
    this.load();
  }

  load() {
    const { data, revision } = this.model.get("_labels");
    // In place: what the page keeps of the widget's state stays what has been drawn.
    this.all = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.revision = revision;
    this.history = this.model.get("_pictures").map(() => ({ undo: [], redo: [] }));
    this.before = null;
    this.dispatchEvent(new Event("load"));
  }

  labels(index) {
    const size = this.width * this.height;
    return this.all.subarray(index * size, (index + 1) * size);
  }

  begin(index) {
    this.index = index;
    this.before = this.labels(index).slice();
    this.touched = null;
  }

  /** Set the pixels a shape covers; only within begin() and end() or cancel(). */
  paint(label, shape) {
    if (!this.before) return; // Python has set other labels meanwhile
    const labels = this.labels(this.index);
    const box = { left: this.width, top: this.height, right: 0, bottom: 0 };
    shape((x, y) => {
      if (x < box.left) box.left = x;
      if (y < box.top) box.top = y;
      if (x >= box.right) box.right = x + 1;
      if (y >= box.bottom) box.bottom = y + 1;
      labels[y * this.width + x] = label;
    });
    if (box.right <= box.left) return;
    this.touched = this.touched ? union(this.touched, box) : box;
    this.changed(this.index, box);
  }

  end() {
    if (this.before && this.touched) {
      const [before, after] = [this.cut(this.before, this.touched), this.cut(this.labels(this.index), this.touched)];
      if (before.some((label, i) => label !== after[i])) {
        this.history[this.index].undo.push({ box: this.touched, before, after });
        this.history[this.index].redo = [];
        this.send(this.index, this.touched, after);
      }
    }
    this.before = null;
  }

  cancel() {
    if (this.before && this.touched) {
      this.labels(this.index).set(this.before);
      this.changed(this.index, this.touched);
    }
    this.before = null;
  }

  /** Take back the last stroke on a picture, or bring back the one last taken back. */
  step(index, from, to, which) {
    const stroke = !this.before && this.history[index][from].pop();
    if (!stroke) return;
    const labels = this.labels(index);
    const { left, top, right, bottom } = stroke.box;
    const wide = right - left;
    for (let y = top; y < bottom; y++) {
      labels.set(stroke[which].subarray((y - top) * wide, (y - top + 1) * wide), y * this.width + left);
    }
    this.history[index][to].push(stroke);
    this.changed(index, stroke.box);
    this.send(index, stroke.box, stroke[which]);
  }

  undo(index) {
    this.step(index, "undo", "redo", "before");
  }

  redo(index) {
    this.step(index, "redo", "undo", "after");
  }

  cut(labels, { left, top, right, bottom }) {
    const wide = right - left;
    const piece = new Uint8Array(wide * (bottom - top));
    for (let y = top; y < bottom; y++) {
      piece.set(labels.subarray(y * this.width + left, y * this.width + right), (y - top) * wide);
    }
    return piece;
  }

  changed(index, box) {
    this.dispatchEvent(new CustomEvent("paint", { detail: { index, box } }));
  }

  send(index, { left, top, right, bottom }, labels) {
    this.model.send({ revision: this.revision, index, box: [left, top, right, bottom] }, undefined, [labels.buffer]);
    this.dispatchEvent(new Event("stroke"));
  }
}

function union(a, b) {
  return {
    left: Math.min(a.left, b.left),
    top: Math.min(a.top, b.top),
    right: Math.max(a.right, b.right),
    bottom: Math.max(a.bottom, b.bottom),
  };
}

// --- Small helpers for the page.

const ICONS = {
  brush: "M4 20c3 0 5-1 5-3.5a2.5 2.5 0 0 0-5 0C4 18.5 3 19 2 19c.5.7 1.2 1 2 1zM9.5 14.5 19 4.5a1.4 1.4 0 0 1 2 2L11 16.5",
  eraser: "M8 20h12M5 13l8.5-8.5a2 2 0 0 1 2.8 0l3.2 3.2a2 2 0 0 1 0 2.8L11 19H8l-3-3a2 2 0 0 1 0-3zM9.5 8.5l6 6",
  lasso: "M12 4c5 0 9 2.5 9 6s-4 6-9 6-9-2.5-9-6 4-6 9-6zM7 15.5c-1.5.5-2 2-1 3s2.5.5 2.5-1S7 15 7 15.5zM6.5 18.8c0 1-.5 1.7-1.5 2.2",
  bucket: "M11 3.5 19.5 12l-7 7a2 2 0 0 1-2.8 0L4 13.3a2 2 0 0 1 0-2.8zM4 12h15M21 16s1.5 2 1.5 3a1.5 1.5 0 0 1-3 0c0-1 1.5-3 1.5-3zM11 3.5 8.5 1",
  hand: "M7 12V6.5a1.5 1.5 0 0 1 3 0V11 4.5a1.5 1.5 0 0 1 3 0V11 5.5a1.5 1.5 0 0 1 3 0V12 8.5a1.5 1.5 0 0 1 3 0V15c0 4-2.5 6.5-6 6.5-3 0-4.5-1.5-6-4L4 13.5c-.8-1.3 1-2.5 2-1.5l1 1.5",
  undo: "M8 5 4 9l4 4M4 9h10a5 5 0 0 1 0 10h-4",
  redo: "M16 5l4 4-4 4M20 9H10a5 5 0 0 0 0 10h4",
  minus: "M6 12h12",
  plus: "M6 12h12M12 6v12",
  fit: "M4 9V5a1 1 0 0 1 1-1h4M15 4h4a1 1 0 0 1 1 1v4M20 15v4a1 1 0 0 1-1 1h-4M9 20H5a1 1 0 0 1-1-1v-4",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6z",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
};

const TOOLS = [
  ["brush", "Brush", "b"],
  ["eraser", "Eraser", "e"],
  ["lasso", "Lasso: drag around an area, or click the corners of a polygon (Enter closes it)", "l"],
  ["bucket", "Fill an enclosed area", "f"],
  ["hand", "Move the picture (or hold Space)", "h"],
];

function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function button(icon, title, onclick) {
  const made = element("button", { type: "button", title, onclick });
  made.setAttribute("aria-label", title);
  made.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[icon]}"/></svg>`;
  return made;
}

function slider(title, min, max, step, oninput, onchange) {
  const made = element("input", { type: "range", title, min, max, step });
  made.setAttribute("aria-label", title);
  made.oninput = () => oninput(Number(made.value));
  made.onchange = onchange;
  return made;
}

function group(className, ...children) {
  return element("div", { className: `group ${className}` }, children);
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const same = (a, b) => a.x === b.x && a.y === b.y;

// --- One view of the widget.

function view(model, sketch, el) {
  const { width, height } = sketch;
  const maxBrush = clamp(2 * Math.floor(Math.min(width, height) / 10) + 1, 9, 99);
  const classes = model.get("_classes"); // [{name, color: [r, g, b]}]
  const css = (label) => `rgb(${classes[label].color.join(" ")})`;
  const cleanups = [];
  const listen = (target, type, handler, options) => {
    target.addEventListener(type, handler, options);
    cleanups.push(() => target.removeEventListener(type, handler, options));
  };
  const set = (name, value) => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };
  const index = () => model.get("index");
  const label = () => model.get("label");

  // The page.
  const canvas = element("canvas");
  canvas.setAttribute("aria-label", "Picture to label");
  const stage = element("div", { className: "stage" }, [canvas]);
  const tools = Object.fromEntries(TOOLS.map(([n, t, key]) => [n, button(n, `${t} — ${key}`, () => set("tool", n))]));
  const size = slider("Brush size — [ ]", 1, maxBrush, 2, (v) => preview("brush_size", v), () => model.save_changes());
  const sizeText = element("output");
  const undo = button("undo", "Undo — z", () => sketch.undo(index()));
  const redo = button("redo", "Redo — Z", () => sketch.redo(index()));
  const eye = button("eye", "Show labels — o", () => set("overlay", !model.get("overlay")));
  const opacity = slider("Opacity of the labels", 0, 1, 0.05, (v) => preview("opacity", v), () => model.save_changes());
  const zoomText = element("output");
  const zoomOut = button("minus", "Zoom out — - (or Ctrl and wheel)", () => zoom(1 / 1.5));
  const zoomIn = button("plus", "Zoom in — + (or Ctrl and wheel)", () => zoom(1.5));
  const zoomFit = button("fit", "Whole picture — Home", () => fit());
  const bar = element("div", { className: "bar" }, [
    group("tools", ...Object.values(tools)),
    group("size", size, sizeText),
    group("history", undo, redo),
    group("zoom", zoomOut, zoomText, zoomIn, zoomFit),
    group("overlay", eye, opacity),
  ]);
  const shares = classes.map(() => element("small"));
  const rows = classes.map(({ name }, i) => {
    const swatch = element("i");
    swatch.style.background = css(i);
    const key = element("kbd", { textContent: i < 10 ? i : "" });
    const row = element("button", { type: "button", title: i < 10 ? `${name} — ${i}` : name });
    row.append(swatch, element("span", { textContent: name }), shares[i], key);
    row.onclick = () => choose(i);
    return row;
  });
  const side = element("div", { className: "side" }, rows);
  const previous = button("previous", "Previous picture — ←", () => turn(-1));
  const next = button("next", "Next picture — →", () => turn(1));
  const page = element("output");
  const where = element("span", { className: "where" });
  const done = element("span", { className: "done" });
  const foot = element("div", { className: "foot" }, [group("pages", previous, page, next), where, done]);
  const frame = element("div", { className: "frame" }, [bar, stage, side, foot]);
  const root = element("div", { className: "toolkit-labeller", tabIndex: 0 }, [frame]);
  foot.querySelector(".pages").hidden = model.get("_pictures").length < 2;
  el.append(root);

  // What the canvas shows.
  const context = canvas.getContext("2d");
  const tint = element("canvas", { width, height });
  const tintContext = tint.getContext("2d");
  const tintPixels = tintContext.createImageData(width, height);
  const tintWords = new Uint32Array(tintPixels.data.buffer);
  const words = new Uint32Array(256);
  const wordBytes = new Uint8Array(words.buffer);
  classes.forEach(({ color }, i) => wordBytes.set([...color, 255], 4 * i));
  let picture = null;
  let at = { scale: 1, x: 0, y: 0 }; // screen = picture * scale + (x, y)
  let fitted = true;
  let pointer = null; // screen position while over the stage
  let corners = []; // of the lasso or polygon in the making
  let gesture = null; // {move, end, cancel} between press and release
  let fingers = new Map();
  let space = false;
  let scheduled = 0;

  const draw = () => {
    scheduled ||= requestAnimationFrame(() => {
      scheduled = 0;
      paintCanvas();
    });
  };

  function paintCanvas() {
    const ratio = window.devicePixelRatio;
    const [wide, high] = [Math.round(stage.clientWidth * ratio), Math.round(stage.clientHeight * ratio)];
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, wide, high);
    context.setTransform(ratio * at.scale, 0, 0, ratio * at.scale, ratio * at.x, ratio * at.y);
    context.imageSmoothingEnabled = at.scale * ratio < 1;
    if (picture) context.drawImage(picture, 0, 0, width, height);
    if (model.get("overlay")) {
      context.globalAlpha = model.get("opacity");
      context.drawImage(tint, 0, 0);
      context.globalAlpha = 1;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineJoin = "round";
    if (corners.length) drawCorners();
    if (pointer && !panning()) drawCursor();
  }

  function outline(color) {
    for (const [style, thick] of [["rgb(0 0 0 / 0.65)", 3.5], ["#fff", 2.5], [color, 1.5]]) {
      Object.assign(context, { strokeStyle: style, lineWidth: thick });
      context.stroke();
    }
  }

  function drawCorners() {
    const points = corners.map(toScreen);
    context.beginPath();
    points.forEach((p) => context.lineTo(p.x, p.y));
    if (pointer && !gesture) context.lineTo(pointer.x, pointer.y);
    outline(css(label()));
    context.beginPath();
    context.arc(points[0].x, points[0].y, 4, 0, 7);
    context.fillStyle = css(label());
    context.fill();
    outline("#fff");
  }

  function drawCursor() {
    const [tool, p] = [model.get("tool"), toPixel(pointer)];
    if (tool !== "brush" && tool !== "eraser") return;
    const centre = toScreen(p);
    context.beginPath();
    context.arc(centre.x, centre.y, Math.max(2, (at.scale * model.get("brush_size")) / 2), 0, 7);
    outline(tool === "brush" ? css(label()) : "#fff");
  }

  const toPixel = (p) => ({ x: Math.floor((p.x - at.x) / at.scale), y: Math.floor((p.y - at.y) / at.scale) });
  const toScreen = (p) => ({ x: (p.x + 0.5) * at.scale + at.x, y: (p.y + 0.5) * at.scale + at.y });
  const inside = (p) => p.x >= 0 && p.y >= 0 && p.x < width && p.y < height;
  const position = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  // Labels to tint, and to the numbers beside the classes.
  function tintBox({ left, top, right, bottom }) {
    const labels = sketch.labels(index());
    for (let y = top; y < bottom; y++) {
      for (let i = y * width + left; i < y * width + right; i++) tintWords[i] = words[labels[i]];
    }
    tintContext.putImageData(tintPixels, 0, 0, left, top, right - left, bottom - top);
    draw();
  }

  function count() {
    const counts = new Uint32Array(256);
    for (const value of sketch.labels(index())) counts[value]++;
    const percent = (n) => (n ? (n < 0.001 * width * height ? "<0.1" : ((100 * n) / (width * height)).toFixed(1)) : "");
    shares.forEach((share, i) => (share.textContent = counts[i] ? `${percent(counts[i])}%` : ""));
    const labelled = 100 * (1 - counts[UNLABELLED] / (width * height));
    done.textContent = `${labelled > 99.9 && counts[UNLABELLED] ? 99.9 : labelled.toFixed(labelled < 10 ? 1 : 0)}% labelled`;
    undo.disabled = !sketch.history[index()].undo.length;
    redo.disabled = !sketch.history[index()].redo.length;
  }

  function showAll() {
    gesture = null;
    corners = [];
    tintBox({ left: 0, top: 0, right: width, bottom: height });
    count();
  }

  async function showPicture() {
    const shown = index();
    const data = model.get("_pictures")[shown];
    const decoded = await createImageBitmap(new Blob([data], { type: "image/png" }));
    if (shown !== index()) return;
    picture = decoded;
    const last = model.get("_pictures").length - 1;
    page.textContent = `${shown + 1} / ${last + 1}`;
    [previous.disabled, next.disabled] = [shown === 0, shown === last];
    showAll();
    root.dataset.ready = shown; // for whoever waits for the picture
  }

  function showState() {
    for (const [name, tool] of Object.entries(tools)) tool.setAttribute("aria-pressed", name === model.get("tool"));
    rows.forEach((row, i) => row.setAttribute("aria-pressed", i === label()));
    eye.setAttribute("aria-pressed", model.get("overlay"));
    size.value = model.get("brush_size");
    sizeText.textContent = `${model.get("brush_size")} px`;
    opacity.value = model.get("opacity");
    stage.dataset.tool = panning() ? "hand" : model.get("tool");
    draw();
  }

  // Zoom and pan.
  const panning = () => space || model.get("tool") === "hand";

  function place(scale, x, y) {
    const [wide, high] = [stage.clientWidth, stage.clientHeight];
    const hold = (offset, length, room) =>
      length <= room ? (room - length) / 2 : clamp(offset, room - length, 0);
    at = { scale, x: hold(x, width * scale, wide), y: hold(y, height * scale, high) };
    zoomText.textContent = `${Math.round(100 * scale)}%`;
    draw();
  }

  function fit() {
    fitted = true;
    const scale = Math.min(stage.clientWidth / width, stage.clientHeight / height);
    // Whole multiples keep all pixels the same size.
    place(scale >= 2 ? Math.floor(scale) : scale, 0, 0);
  }

  function zoom(factor, centre = { x: stage.clientWidth / 2, y: stage.clientHeight / 2 }) {
    const least = Math.min(1, stage.clientWidth / width, stage.clientHeight / height);
    const scale = clamp(at.scale * factor, least, MAX_SCALE);
    fitted = false;
    place(scale, centre.x - ((centre.x - at.x) * scale) / at.scale, centre.y - ((centre.y - at.y) * scale) / at.scale);
  }

  // Gestures: what happens between press and release.
  function pan(start) {
    const from = { ...at };
    fitted = false;
    return { move: ([p]) => place(from.scale, from.x + p.x - start.x, from.y + p.y - start.y) };
  }

  function pinch() {
    const measure = () => {
      const [a, b] = fingers.values();
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
    };
    let last = measure();
    return {
      move() {
        const now = measure();
        place(at.scale, at.x + now.x - last.x, at.y + now.y - last.y);
        zoom(now.apart / last.apart, now);
        last = now;
      },
    };
  }

  function stroke(value, start) {
    let last = toPixel(start);
    const to = (p) => {
      sketch.paint(value, (visit) => line(last, p, model.get("brush_size"), width, height, visit));
      last = p;
    };
    sketch.begin(index());
    to(last);
    return {
      move: (points) => points.map(toPixel).filter((p) => !same(p, last)).forEach(to),
      end: () => sketch.end(),
      cancel: () => sketch.cancel(),
    };
  }

  function bucket(start) {
    const pixel = toPixel(start);
    if (inside(pixel)) fill((visit) => region(sketch.labels(index()), pixel, width, height, visit));
    return {};
  }

  function lasso(start) {
    const fresh = !corners.length;
    const first = !fresh && toScreen(corners[0]);
    const closes = corners.length > 2 && Math.hypot(first.x - start.x, first.y - start.y) < 8;
    let dragged = false;
    const add = (p) => same(p, corners.at(-1) ?? { x: NaN }) || corners.push(p);
    if (!closes) add(toPixel(start));
    return {
      move(points) {
        dragged ||= points.some((p) => Math.hypot(p.x - start.x, p.y - start.y) > DRAG);
        if (dragged) points.map(toPixel).forEach(add);
        draw();
      },
      end: () => (closes || (fresh && dragged) ? closePolygon() : draw()),
      cancel: openPolygon,
    };
  }

  function openPolygon() {
    corners = [];
    draw();
  }

  function closePolygon() {
    const points = corners;
    corners = [];
    if (points.length > 2) fill((visit) => polygon(points, width, height, visit));
    draw();
  }

  function fill(shape) {
    sketch.begin(index());
    sketch.paint(label(), shape);
    sketch.end();
  }

  function start(event) {
    const p = position(event);
    if (event.button === 1 || panning()) return pan(p);
    const tool = model.get("tool");
    if (tool === "eraser" || event.button === PEN_ERASER) return stroke(UNLABELLED, p);
    if (tool === "brush") return stroke(label(), p);
    return tool === "lasso" ? lasso(p) : bucket(p);
  }

  listen(stage, "pointerdown", (event) => {
    root.focus({ preventScroll: true });
    pointer = position(event);
    if (event.pointerType === "touch") {
      fingers.set(event.pointerId, pointer);
      if (fingers.size === 2 && (!gesture || fingers.has(gesture.id))) {
        gesture?.cancel?.();
        gesture = pinch();
      }
    }
    if (gesture || ![0, 1, PEN_ERASER].includes(event.button)) return; // a palm beside the pen, a third finger
    try {
      stage.setPointerCapture(event.pointerId);
    } catch {
      // The pointer has gone already.
    }
    gesture = start(event);
    gesture.id = event.pointerId;
    draw();
  });

  listen(stage, "pointermove", (event) => {
    pointer = position(event);
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, pointer);
    if (gesture && (gesture.id === event.pointerId || gesture.id === undefined)) {
      const events = event.getCoalescedEvents?.() ?? [];
      gesture.move?.((events.length ? events : [event]).map(position));
    }
    const pixel = toPixel(pointer);
    const value = inside(pixel) ? sketch.labels(index())[pixel.y * width + pixel.x] : UNLABELLED;
    where.textContent = inside(pixel) ? `${pixel.x}, ${pixel.y} · ${classes[value]?.name ?? "unlabelled"}` : "";
    draw();
  });

  const release = (how) => (event) => {
    fingers.delete(event.pointerId);
    if (!gesture || (gesture.id !== undefined && gesture.id !== event.pointerId)) return;
    const ended = gesture;
    gesture = null;
    ended[how]?.();
    draw();
  };
  listen(stage, "pointerup", release("end"));
  listen(stage, "pointercancel", release("cancel"));
  listen(stage, "pointerleave", () => {
    pointer = null;
    where.textContent = "";
    draw();
  });
  listen(stage, "dblclick", () => corners.length && closePolygon());
  listen(stage, "contextmenu", (event) => event.preventDefault());
  listen(
    stage,
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the notebook's own scrolling
      event.preventDefault();
      zoom(2 ** (-clamp(event.deltaY, -100, 100) / 150), position(event));
    },
    { passive: false },
  );

  // Keys.
  function choose(i) {
    set("label", i);
    if (["eraser", "hand"].includes(model.get("tool"))) set("tool", "brush");
  }

  function turn(by) {
    set("index", clamp(index() + by, 0, model.get("_pictures").length - 1));
  }

  function preview(name, value) {
    model.set(name, value); // sent when the slider is let go
  }

  const grow = (by) => {
    const now = model.get("brush_size");
    set("brush_size", clamp(now + by * Math.max(2, 2 * Math.floor(now / 10)), 1, maxBrush));
  };
  const keys = {
    "[": () => grow(-1),
    "]": () => grow(1),
    z: () => sketch.undo(index()),
    Z: () => sketch.redo(index()),
    y: () => sketch.redo(index()),
    o: () => set("overlay", !model.get("overlay")),
    "+": () => zoom(1.5),
    "=": () => zoom(1.5),
    "-": () => zoom(1 / 1.5),
    Home: fit,
    ArrowLeft: () => turn(-1),
    ArrowRight: () => turn(1),
    Enter: closePolygon,
    Escape: openPolygon,
    " ": () => ((space = true), showState()),
  };
  TOOLS.forEach(([name, , key]) => (keys[key] = () => set("tool", name)));
  classes.slice(0, 10).forEach((_, i) => (keys[i] = () => choose(i)));

  // On window, and before anyone else: JupyterLab would take x for "cut this cell".
  listen(
    window,
    "keydown",
    (event) => {
      if (!root.contains(event.target) || event.altKey) return;
      const [command, onSlider] = [event.ctrlKey || event.metaKey, event.target.type === "range"];
      if (command && !"zZy".includes(event.key)) return;
      const mine = keys[event.key];
      if (event.key.length > 1 && (!mine || onSlider || event.shiftKey)) return;
      if (["Enter", " "].includes(event.key) && event.target.matches("button")) return event.stopPropagation();
      event.stopPropagation();
      event.preventDefault();
      if (!gesture) mine?.();
    },
    { capture: true },
  );
  listen(root, "pointerup", () => root.focus({ preventScroll: true })); // keys work again after a button
  listen(window, "keyup", (event) => {
    if (event.key === " " && space) {
      space = false;
      showState();
    }
  });

  // What happens elsewhere.
  listen(sketch, "paint", ({ detail }) => detail.index === index() && tintBox(detail.box));
  listen(sketch, "stroke", count);
  listen(sketch, "load", showAll);
  const follow = (names, handler) =>
    names.forEach((name) => {
      model.on(`change:${name}`, handler);
      cleanups.push(() => model.off(`change:${name}`, handler));
    });
  follow(["label", "brush_size", "opacity", "overlay"], showState);
  follow(["tool"], () => (openPolygon(), showState()));
  follow(["index"], showPicture);
  const observer = new ResizeObserver(() => (fitted ? fit() : place(at.scale, at.x, at.y)));
  observer.observe(stage);
  cleanups.push(() => observer.disconnect());

  showState();
  showPicture();
  return () => cleanups.forEach((clean) => clean());
}

export default () => {
  let sketch;
  return {
    initialize({ model }) {
      sketch = new Sketch(model);
    },
    render({ model, el }) {
      return view(model, sketch, el);
    },
  };
};
