// One view of the widget: the model's state, the sketch, the panel and the stage brought together.

function view(model, sketch, el) {
  const { width, height } = sketch;
  const maxBrush = clamp(2 * Math.floor(Math.min(width, height) / 10) + 1, 9, 99);
  const classes = model.get("_classes"); // [{name, color: [r, g, b]}]
  const numPages = model.get("_pictures").length;
  const life = new AbortController(); // ends with this view, and every listener with it
  const listen = (target, type, handler, options) =>
    target.addEventListener(type, handler, { ...options, signal: life.signal });
  const index = () => model.get("index");
  const set = (name, value) => {
    if (model.get(name) === value) return;
    model.set(name, value);
    model.save_changes();
  };

  const does = {
    tool: (name) => set("tool", name),
    choose(label) {
      set("label", label);
      if (["eraser", "hand"].includes(model.get("tool"))) set("tool", "brush");
    },
    // From sliders: sent when they are released.
    brushSize: (size) => model.set("brush_size", size),
    opacity: (opacity) => model.set("opacity", opacity),
    sent: () => model.save_changes(),
    grow(by) {
      const now = model.get("brush_size");
      set("brush_size", clamp(now + by * Math.max(2, 2 * Math.floor(now / 10)), 1, maxBrush));
    },
    overlay: () => set("overlay", !model.get("overlay")),
    undo: () => sketch.undo(index()),
    redo: () => sketch.redo(index()),
    zoomIn: () => stage.zoom(1.5),
    zoomOut: () => stage.zoom(1 / 1.5),
    fit: () => stage.fit(),
    turn: (by) => set("index", clamp(index() + by, 0, numPages - 1)),
  };
  const stage = new Stage(sketch, classes, (scale) => (panel.showZoom(scale), refresh()));
  const panel = new Panel(classes, stage.node, does, maxBrush, numPages);
  const pointers = new Pointers(model, sketch, stage, () => refresh());
  const { root } = panel;
  el.append(root);

  // At most once a frame: reading the layout between changes to the page is slow.
  let dirty = null; // box of labels that have changed
  let scheduled = 0;
  function refresh(box) {
    if (box) dirty = dirty ? union(dirty, box) : box;
    scheduled ||= requestAnimationFrame(() => {
      scheduled = 0;
      const labels = sketch.labels(index());
      if (dirty) stage.showLabels(labels, dirty);
      dirty = null;
      showPointer(labels);
    });
  }

  function showPointer(labels) {
    const { at, corners, gesture, panning } = pointers;
    const [tool, color] = [model.get("tool"), css(classes[model.get("label")])];
    const pixel = at && stage.toPixel(at);
    panel.showWhere(pixel && stage.inside(pixel) ? pixel : null, pixel && labels[pixel.y * width + pixel.x]);
    const brush = !panning && ["brush", "eraser"].includes(tool);
    stage.showCursor(brush ? pixel : null, model.get("brush_size"), tool === "brush" ? color : "#fff");
    const points = corners.map((p) => stage.toScreen(p));
    stage.showCorners(points.length && at && !gesture ? [...points, at] : points, color);
  }

  function showState() {
    panel.showState(model);
    stage.node.dataset.tool = pointers.panning ? "hand" : model.get("tool");
    stage.tint.style.opacity = model.get("overlay") ? model.get("opacity") : 0;
    refresh();
  }

  function showAll() {
    pointers.drop();
    refresh({ left: 0, top: 0, right: width, bottom: height });
    showCounts();
  }

  function showCounts() {
    panel.showCounts(sketch.labels(index()), sketch.history[index()]);
  }

  async function showPicture() {
    const shown = index();
    const data = model.get("_pictures")[shown];
    const picture = await createImageBitmap(new Blob([data], { type: "image/png" }));
    if (shown !== index()) return;
    stage.showPicture(picture, model.get("_smooth"));
    showAll();
    panel.showPage(shown, numPages);
  }

  pointers.listen(listen);
  handleKeys(root, does, pointers, classes.length, showState, listen);
  listen(stage.node, "pointerdown", () => root.focus({ preventScroll: true }));
  listen(root, "pointerup", () => root.focus({ preventScroll: true })); // keys work again after a button
  listen(sketch, "paint", ({ detail }) => detail.index === index() && refresh(detail.box));
  listen(sketch, "stroke", showCounts);
  listen(sketch, "load", showAll);
  const follow = (name, handler) => {
    model.on(`change:${name}`, handler);
    life.signal.addEventListener("abort", () => model.off(`change:${name}`, handler));
  };
  for (const name of ["label", "brush_size", "opacity", "overlay"]) follow(name, showState);
  follow("tool", () => (pointers.openPolygon(), showState()));
  follow("index", showPicture);
  const observer = new ResizeObserver(() => stage.resize());
  observer.observe(stage.node);
  life.signal.addEventListener("abort", () => observer.disconnect());

  showState();
  showPicture();
  return () => life.abort();
}
