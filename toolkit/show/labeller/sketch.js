// The labels of all pictures, with history: one byte array per widget, shared by all its views. Tools change it pixel
// by pixel and a canvas shows it, so nothing drawn is ever antialiased or rounded. A finished stroke goes to Python as
// one message: the rectangle it changed. Views listen to "paint" (a rectangle changed), "stroke" and "load".

const UNLABELLED = 255;

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
    // Not copied: drawing also updates the page's copy of the widget's state.
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
