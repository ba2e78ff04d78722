// Pointers: mouse, pen and fingers. A gesture is what happens between press and release: {move, end, cancel}.

const DRAG = 4; // screen pixels a press must travel to count as a drag
const CLOSE = 8; // screen pixels from the first corner that a click closes a polygon within
const PEN_ERASER = 5; // button number of a pen's eraser end

class Pointers {
  /** Turn what happens on a stage into strokes; `changed()` is called after each event. */
  constructor(model, sketch, stage, changed) {
    Object.assign(this, { model, sketch, stage, changed });
    this.at = null; // screen position while over the stage
    this.corners = []; // pixels of the lasso or polygon in the making
    this.gesture = null;
    this.fingers = new Map();
    this.space = false; // held down
  }

  listen(listen) {
    const { node } = this.stage;
    const on = (target, type, handler, options) =>
      listen(target, type, (event) => (handler(event), this.changed()), options);
    on(node, "pointerdown", (event) => this.press(event));
    on(node, "pointermove", (event) => this.drag(event));
    on(node, "pointerup", (event) => this.release(event, "end"));
    on(node, "pointercancel", (event) => this.release(event, "cancel"));
    on(node, "pointerleave", () => (this.at = null));
    on(node, "dblclick", () => this.closePolygon());
    on(node, "contextmenu", (event) => event.preventDefault());
    on(node, "wheel", (event) => this.wheel(event), { passive: false });
  }

  press(event) {
    this.at = this.stage.position(event);
    if (event.pointerType === "touch") {
      this.fingers.set(event.pointerId, this.at);
      if (this.fingers.size === 2 && (!this.gesture || this.fingers.has(this.gesture.id))) {
        this.gesture?.cancel?.();
        this.gesture = this.pinch();
      }
    }
    if (this.gesture || ![0, 1, PEN_ERASER].includes(event.button)) return; // a palm beside the pen or a third finger
    try {
      this.stage.node.setPointerCapture(event.pointerId);
    } catch {
      // The pointer has gone already.
    }
    this.gesture = this.start(event);
    this.gesture.id = event.pointerId;
  }

  drag(event) {
    this.at = this.stage.position(event);
    if (this.fingers.has(event.pointerId)) this.fingers.set(event.pointerId, this.at);
    if (this.gesture && (this.gesture.id === event.pointerId || this.gesture.id === undefined)) {
      const events = event.getCoalescedEvents?.() ?? [];
      this.gesture.move?.((events.length ? events : [event]).map((each) => this.stage.position(each)));
    }
  }

  release(event, how) {
    this.fingers.delete(event.pointerId);
    if (!this.gesture || (this.gesture.id !== undefined && this.gesture.id !== event.pointerId)) return;
    const ended = this.gesture;
    this.gesture = null;
    ended[how]?.();
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return; // lets the notebook scroll
    event.preventDefault();
    this.stage.zoom(2 ** (-clamp(event.deltaY, -100, 100) / 150), this.stage.position(event));
  }

  // By keys: the brush moves by whole pixels from where it is, or from the middle.
  steer(dx, dy) {
    const { width, height } = this.sketch;
    const { x, y } = this.stage.toPixel(this.at ?? this.stage.toScreen({ x: width / 2, y: height / 2 }));
    this.at = this.stage.toScreen({ x: clamp(x + dx, 0, width - 1), y: clamp(y + dy, 0, height - 1) });
    if (this.gesture?.id === "keys") this.gesture.move?.([this.at]);
    this.changed();
  }

  putDown() {
    if (this.gesture) return this.gesture.id === "keys" && this.lift("end");
    this.steer(0, 0);
    this.gesture = { ...this.start({ button: 0 }), id: "keys" };
    if (!["brush", "eraser"].includes(this.model.get("tool"))) this.lift("end");
    this.changed();
  }

  lift(how) {
    const ended = this.gesture;
    this.gesture = null;
    ended[how]?.();
    this.changed();
  }

  /** Labels have been replaced, or another picture is shown: abandon the gesture. */
  drop() {
    this.gesture = null;
    this.corners = [];
  }

  get panning() {
    return this.space || this.model.get("tool") === "hand";
  }

  // Gestures.
  start(event) {
    const tool = this.model.get("tool");
    if (event.button === 1 || this.panning) return this.pan(this.at);
    if (tool === "eraser" || event.button === PEN_ERASER) return this.stroke(UNLABELLED, this.at);
    if (tool === "brush") return this.stroke(this.model.get("label"), this.at);
    return tool === "lasso" ? this.lasso(this.at) : this.bucket(this.at);
  }

  pan(start) {
    const from = { ...this.stage.at };
    return { move: ([p]) => this.stage.move(from.x + p.x - start.x, from.y + p.y - start.y) };
  }

  pinch() {
    const measure = () => {
      const [a, b] = this.fingers.values();
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
    };
    let last = measure();
    const move = () => {
      const now = measure();
      this.stage.move(this.stage.at.x + now.x - last.x, this.stage.at.y + now.y - last.y);
      this.stage.zoom(now.apart / last.apart, now);
      last = now;
    };
    return { move };
  }

  stroke(value, start) {
    const { sketch, stage } = this;
    let last = stage.toPixel(start);
    const to = (p) => {
      const size = this.model.get("brush_size");
      sketch.paint(value, (visit) => line(last, p, size, sketch.width, sketch.height, visit));
      last = p;
    };
    sketch.begin(this.model.get("index"));
    to(last);
    return {
      move: (points) => points.map((p) => stage.toPixel(p)).filter((p) => !same(p, last)).forEach(to),
      end: () => sketch.end(),
      cancel: () => sketch.cancel(),
    };
  }

  bucket(start) {
    const { sketch, stage } = this;
    const pixel = stage.toPixel(start);
    const labels = sketch.labels(this.model.get("index"));
    if (stage.inside(pixel)) this.fill((visit) => region(labels, pixel, sketch.width, sketch.height, visit));
    return {};
  }

  lasso(start) {
    const { stage } = this;
    const fresh = !this.corners.length;
    const first = !fresh && stage.toScreen(this.corners[0]);
    const closes = this.corners.length > 2 && Math.hypot(first.x - start.x, first.y - start.y) < CLOSE;
    let dragged = false;
    const add = (p) => same(p, this.corners.at(-1) ?? { x: NaN }) || this.corners.push(p);
    if (!closes) add(stage.toPixel(start));
    return {
      move: (points) => {
        dragged ||= points.some((p) => Math.hypot(p.x - start.x, p.y - start.y) > DRAG);
        if (dragged) points.map((p) => stage.toPixel(p)).forEach(add);
      },
      end: () => (closes || (fresh && dragged)) && this.closePolygon(),
      cancel: () => this.openPolygon(),
    };
  }

  openPolygon() {
    this.corners = [];
  }

  closePolygon() {
    const [points, { width, height }] = [this.corners, this.sketch];
    this.corners = [];
    if (points.length > 2) this.fill((visit) => polygon(points, width, height, visit));
  }

  fill(shape) {
    this.sketch.begin(this.model.get("index"));
    this.sketch.paint(this.model.get("label"), shape);
    this.sketch.end();
  }
}
