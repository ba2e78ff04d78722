// The panel around the stage: tools above, classes beside, pages and numbers below.

const TOOLS = [
  ["brush", "Brush", "b"],
  ["eraser", "Eraser", "e"],
  ["lasso", "Lasso: drag around an area, or click the corners of a polygon (Enter closes it)", "l"],
  ["bucket", "Fill an enclosed area", "f"],
  ["hand", "Move the picture (or hold Space)", "h"],
];

const css = ({ color }) => `rgb(${color.join(" ")})`;

class Panel {
  /** Everything but the stage, which goes in the middle; `does` has a function for each control. */
  constructor(classes, stage, does, maxBrush, numPages) {
    this.classes = classes;
    const tools = TOOLS.map(([name, title, key]) => [name, button(name, `${title} — ${key}`, () => does.tool(name))]);
    this.tools = Object.fromEntries(tools);
    this.size = slider("Brush size — [ ]", 1, maxBrush, 2, does.brushSize, does.sent);
    this.sizeText = element("output");
    this.undo = button("undo", "Undo — z", does.undo);
    this.redo = button("redo", "Redo — Z", does.redo);
    this.zoomText = element("output");
    const out = button("minus", "Zoom out — - (or Ctrl and wheel)", does.zoomOut);
    const closer = button("plus", "Zoom in — + (or Ctrl and wheel)", does.zoomIn);
    const fit = button("fit", "Whole picture — Home", does.fit);
    this.eye = button("eye", "Show labels — o", does.overlay);
    this.opacity = slider("Opacity of the labels", 0, 1, 0.05, does.opacity, does.sent);
    const bar = element("div", { className: "bar" }, [
      group("tools", ...Object.values(this.tools)),
      group("size", this.size, this.sizeText),
      group("history", this.undo, this.redo),
      group("zoom", out, this.zoomText, closer, fit),
      group("overlay", this.eye, this.opacity),
    ]);

    this.shares = classes.map(() => element("small"));
    this.rows = classes.map((each, i) => this.row(each, i, () => does.choose(i)));
    const side = element("div", { className: "side" }, this.rows);

    this.previous = button("previous", "Previous picture — ←", () => does.turn(-1));
    this.next = button("next", "Next picture — →", () => does.turn(1));
    this.page = element("output");
    this.where = element("span", { className: "where" });
    this.done = element("span", { className: "done" });
    const pages = group("pages", this.previous, this.page, this.next);
    pages.hidden = numPages < 2;
    const foot = element("div", { className: "foot" }, [pages, this.where, this.done]);

    const frame = element("div", { className: "frame" }, [bar, stage, side, foot]);
    this.root = element("div", { className: "toolkit-labeller", tabIndex: 0 }, [frame]);
  }

  row(each, i, onclick) {
    const swatch = element("i");
    swatch.style.background = css(each);
    const key = element("kbd", { textContent: i < 10 ? i : "" });
    const title = i < 10 ? `${each.name} — ${i}` : each.name;
    const name = element("span", { textContent: each.name });
    return element("button", { type: "button", title, onclick }, [swatch, name, this.shares[i], key]);
  }

  showState(model) {
    for (const [name, tool] of Object.entries(this.tools)) tool.setAttribute("aria-pressed", name === model.get("tool"));
    this.rows.forEach((row, i) => row.setAttribute("aria-pressed", i === model.get("label")));
    this.eye.setAttribute("aria-pressed", model.get("overlay"));
    this.size.value = model.get("brush_size");
    this.sizeText.textContent = `${model.get("brush_size")} px`;
    this.opacity.value = model.get("opacity");
  }

  showZoom(scale) {
    this.zoomText.textContent = `${Math.round(100 * scale)}%`;
  }

  showPage(index, numPages) {
    this.page.textContent = `${index + 1} / ${numPages}`;
    [this.previous.disabled, this.next.disabled] = [index === 0, index === numPages - 1];
    this.root.dataset.ready = index; // for tests that wait for the picture
  }

  /** The pixel under the pointer and its label, or null. */
  showWhere(pixel, label) {
    const text = pixel ? `${pixel.x}, ${pixel.y} · ${this.classes[label]?.name ?? "unlabelled"}` : "";
    if (this.where.textContent !== text) this.where.textContent = text;
  }

  /** How much of a picture each class covers, and what can be undone. */
  showCounts(labels, history) {
    const [all, counts] = [labels.length, new Uint32Array(256)];
    for (const label of labels) counts[label]++;
    const percent = (n) => (n < 0.001 * all ? "<0.1" : ((100 * n) / all).toFixed(1));
    this.shares.forEach((share, i) => (share.textContent = counts[i] ? `${percent(counts[i])}%` : ""));
    const labelled = 100 * (1 - counts[UNLABELLED] / all);
    const shown = labelled > 99.9 && counts[UNLABELLED] ? 99.9 : labelled.toFixed(labelled < 10 ? 1 : 0);
    this.done.textContent = `${shown}% labelled`;
    this.undo.disabled = !history.undo.length;
    this.redo.disabled = !history.redo.length;
  }
}
