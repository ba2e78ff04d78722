// The square that networks see of a picture, drawn over it: moved, sized and turned by mouse, touch and keys. The model
// has `_picture` (an address), `_size` [width, height], `_name`, and `frame` [x, y, side, angle]: its centre and side in
// the picture's pixels, degrees clockwise. All is drawn in those pixels; the browser scales it.

const MARGIN = 0.06; // of the longer side, around the picture: a frame may reach beyond it
const LEAST = 8; // pixels of a frame's side
const MOST = 3; // times the longer side
const REACH = 18; // screen pixels around a handle that take hold of it
const PAUSE = 300; // ms without a key after which a frame is told

const radians = (degrees) => (degrees * Math.PI) / 180;
const HELP = "arrows move it, plus and minus size it, [ and ] turn it, with Shift by more; Home starts anew";

function frameView(model, el) {
  const [width, height] = model.get("_size");
  const long = Math.max(width, height);
  const start = model.get("frame");
  const life = new AbortController(); // ends with this view, and every listener with it
  const listen = (target, type, handler, options) =>
    target.addEventListener(type, handler, { ...options, signal: life.signal });

  const svg = element("div", {
    innerHTML: `<svg class="picture">
      <image width="${width}" height="${height}" preserveAspectRatio="none"/>
      <path class="shade" fill-rule="evenodd"/>
      <g class="frame" tabindex="0" role="application">
        <path class="inside"/><path class="edge dark"/><path class="edge"/>
        ${'<circle class="hold" data-does="size"/><circle class="grip"/>'.repeat(4)}
        <circle class="hold" data-does="turn"/><circle class="grip turn"/>
      </g></svg>`,
  }).firstChild;
  const room = MARGIN * long;
  svg.setAttribute("viewBox", [-room, -room, width + 2 * room, height + 2 * room].join(" "));
  const find = (selector) => svg.querySelector(selector);
  const [group, shade, inside] = [find(".frame"), find(".shade"), find(".inside")];
  const [edges, grips, holds] = [".edge", ".grip", ".hold"].map((name) => [...svg.querySelectorAll(name)]);
  find("image").setAttribute("href", model.get("_picture"));
  group.setAttribute("aria-label", `Frame of ${model.get("_name") || "the picture"}: ${HELP}`);

  const by = (icon, title, change) => button(icon, title, () => (set(change(model.get("frame"))), tell()));
  const where = element("output");
  where.setAttribute("aria-live", "polite");
  const foot = element("div", { className: "foot" }, [
    by("minus", "Smaller frame — -", ([x, y, side, angle]) => [x, y, side / 1.06, angle]),
    by("plus", "Larger frame — +", ([x, y, side, angle]) => [x, y, side * 1.06, angle]),
    by("undo", "Turn left — [", ([x, y, side, angle]) => [x, y, side, angle - 2]),
    by("redo", "Turn right — ]", ([x, y, side, angle]) => [x, y, side, angle + 2]),
    by("fit", "Frame as at first — Home", () => start),
    where,
  ]);
  const root = element("div", { className: "toolkit-framing" }, [svg, foot]);
  el.append(root);

  /** Screen to picture. */
  function point({ clientX, clientY }) {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());
    return { x, y };
  }

  function corners([x, y, side, angle]) {
    const [cos, sin, half] = [Math.cos(radians(angle)), Math.sin(radians(angle)), side / 2];
    const at = (u, v) => ({ x: x + u * cos - v * sin, y: y + u * sin + v * cos });
    return { corners: [at(-half, -half), at(half, -half), at(half, half), at(-half, half)], top: at(0, -half), at };
  }

  function draw() {
    const frame = model.get("frame");
    const pixel = 1 / (svg.getScreenCTM()?.a || 1); // one of the screen, in the picture's
    const { corners: four, top, at } = corners(frame);
    const handle = at(0, -frame[2] / 2 + Math.min(26 * pixel, frame[2] / 4));
    const square = `M${four.map(({ x, y }) => `${x},${y}`).join("L")}Z`;
    shade.setAttribute("d", `M${-9 * long},${-9 * long}h${18 * long}v${18 * long}h${-18 * long}Z${square}`);
    inside.setAttribute("d", square);
    for (const edge of edges) edge.setAttribute("d", `${square}M${top.x},${top.y}L${handle.x},${handle.y}`);
    [...four, handle].forEach(({ x, y }, i) => {
      for (const [circle, r] of [[grips[i], 6], [holds[i], REACH]]) {
        Object.entries({ cx: x, cy: y, r: r * pixel }).forEach((each) => circle.setAttribute(...each));
      }
    });
    const [x, y, side, angle] = frame.map(Math.round);
    where.textContent = `${side} px${angle ? ` · ${angle}°` : ""}`;
    Object.assign(root.dataset, { frame: frame.map((value) => value.toFixed(2)).join(" ") }); // for tests
  }

  function set([x, y, side, angle]) {
    model.set("frame", [
      clamp(x, 0, width),
      clamp(y, 0, height),
      clamp(side, Math.min(LEAST, long), MOST * long),
      ((((angle + 180) % 360) + 360) % 360) - 180,
    ]);
  }

  let told = String(start);
  let waiting = 0;
  function tell() {
    clearTimeout(waiting);
    if (told === String(model.get("frame"))) return;
    told = String(model.get("frame"));
    model.save_changes();
  }

  // One finger or the mouse moves, sizes or turns, by what it took hold of; two fingers do all at once.
  const fingers = new Map();
  let gesture = null;
  const GESTURES = {
    move: (from, [x, y, side, angle]) => (to) => [x + to.x - from.x, y + to.y - from.y, side, angle],
    size: (from, [x, y, side, angle]) => {
      const far = (p) => Math.hypot(p.x - x, p.y - y);
      return (to) => [x, y, (side * far(to)) / Math.max(far(from), 1e-6), angle];
    },
    turn: (from, [x, y, side, angle]) => {
      const seen = (p) => (Math.atan2(p.y - y, p.x - x) * 180) / Math.PI;
      return (to) => [x, y, side, angle + seen(to) - seen(from)];
    },
  };
  function pinch() {
    const measure = () => {
      const [a, b] = fingers.values();
      const [dx, dy] = [b.x - a.x, b.y - a.y];
      return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, far: Math.hypot(dx, dy), angle: Math.atan2(dy, dx) };
    };
    const [from, [x, y, side, angle]] = [measure(), model.get("frame")];
    return () => {
      const to = measure();
      const turned = ((to.angle - from.angle) * 180) / Math.PI;
      return [x + to.x - from.x, y + to.y - from.y, (side * to.far) / Math.max(from.far, 1e-6), angle + turned];
    };
  }

  function press(event) {
    const does = event.target.dataset.does ?? (event.target === inside ? "move" : null);
    if (event.button !== 0 || (!does && !fingers.size)) return;
    event.preventDefault();
    group.focus({ preventScroll: true });
    fingers.set(event.pointerId, point(event));
    try {
      svg.setPointerCapture(event.pointerId);
    } catch {
      // The pointer has gone already.
    }
    gesture = fingers.size === 2 ? pinch() : GESTURES[does ?? "move"](point(event), model.get("frame"));
  }

  function drag(event) {
    if (!fingers.has(event.pointerId) || !gesture) return;
    fingers.set(event.pointerId, point(event));
    set(gesture(point(event)));
  }

  function release(event) {
    if (!fingers.delete(event.pointerId)) return;
    gesture = null;
    if (!fingers.size) tell();
  }

  listen(svg, "pointerdown", press);
  listen(svg, "pointermove", drag);
  for (const type of ["pointerup", "pointercancel"]) listen(svg, type, release);

  listen(group, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [[x, y, side, angle], more] = [model.get("frame"), event.shiftKey ? 8 : 1];
    const [step, size, turn] = [(side / 64) * more, 1.02 ** more, more];
    const moved = {
      ArrowLeft: [x - step, y, side, angle],
      ArrowRight: [x + step, y, side, angle],
      ArrowUp: [x, y - step, side, angle],
      ArrowDown: [x, y + step, side, angle],
      Home: start,
    };
    const same = { "+": "=", "*": "=", _: "-", "{": "[", "}": "]" }; // on other rows, or with Shift
    moved["="] = [x, y, side * size, angle];
    moved["-"] = [x, y, side / size, angle];
    moved["["] = [x, y, side, angle - turn];
    moved["]"] = [x, y, side, angle + turn];
    const found = moved[same[event.key] ?? event.key];
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    set(found);
    clearTimeout(waiting);
    waiting = setTimeout(tell, PAUSE);
  });

  model.on("change:frame", draw);
  life.signal.addEventListener("abort", () => model.off("change:frame", draw));
  const observer = new ResizeObserver(draw);
  observer.observe(svg);
  life.signal.addEventListener("abort", () => (observer.disconnect(), clearTimeout(waiting)));
  draw();
  return () => (life.abort(), root.remove());
}
