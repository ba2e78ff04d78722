// The stage: the picture and its labels in two layers of the picture's own size, which the browser scales. A stroke
// changes only the pixels it covers, zooming changes one transform, and the pointer has an element of its own: moving
// the mouse redraws nothing.

const MAX_SCALE = 64; // screen pixels a picture pixel
const SMOOTH = 768; // pixels a side that a small picture is drawn at
const MARKS = '<svg class="marks"><polyline/><polyline/><polyline/><circle r="4"/></svg>'; // a dark, a light, a coloured line

class Stage {
  /** A stage for pictures of a size; `zoomed(scale)` is called whenever the scale has changed. */
  constructor({ width, height }, classes, zoomed) {
    Object.assign(this, { width, height, zoomed });
    this.picture = element("canvas", { width, height });
    this.picture.setAttribute("role", "img");
    this.picture.setAttribute("aria-label", "Picture to label");
    this.tint = element("canvas", { width, height });
    this.sheet = element("div", { className: "sheet" }, [this.picture, this.tint]);
    Object.assign(this.sheet.style, { width: `${width}px`, height: `${height}px` });
    this.cursor = element("div", { className: "cursor", hidden: true });
    this.node = element("div", { className: "stage", innerHTML: MARKS, tabIndex: 0 });
    this.node.setAttribute("role", "application");
    this.node.setAttribute("aria-label", "Draw: arrows move the brush, with Shift by 8 pixels; space puts it down or lifts it");
    this.node.prepend(this.sheet);
    this.node.append(this.cursor);
    this.lines = this.node.querySelectorAll("polyline");
    this.first = this.node.querySelector("circle");
    this.showCorners([]);

    this.tintContext = this.tint.getContext("2d");
    this.pixels = this.tintContext.createImageData(width, height);
    this.words = new Uint32Array(this.pixels.data.buffer);
    this.colors = new Uint32Array(256); // of the labels, as words; unlabelled is transparent
    const bytes = new Uint8Array(this.colors.buffer);
    classes.forEach(({ color }, label) => bytes.set([...color, 255], 4 * label));

    this.at = { scale: 1, x: 0, y: 0 }; // screen = picture * scale + (x, y)
    this.fitted = true;
  }

  // Where things are. Screen positions are relative to the stage.
  position(event) {
    const box = this.node.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  toPixel({ x, y }) {
    return { x: Math.floor((x - this.at.x) / this.at.scale), y: Math.floor((y - this.at.y) / this.at.scale) };
  }

  toScreen({ x, y }) {
    return { x: (x + 0.5) * this.at.scale + this.at.x, y: (y + 0.5) * this.at.scale + this.at.y };
  }

  inside({ x, y }) {
    return x >= 0 && y >= 0 && x < this.width && y < this.height;
  }

  // Zoom and pan.
  place(scale, x, y) {
    const [wide, high] = [this.node.clientWidth, this.node.clientHeight];
    const hold = (offset, length, room) =>
      Math.round(length <= room ? (room - length) / 2 : clamp(offset, room - length, 0));
    this.at = { scale, x: hold(x, this.width * scale, wide), y: hold(y, this.height * scale, high) };
    this.sheet.style.transform = `translate(${this.at.x}px, ${this.at.y}px) scale(${scale})`;
    this.sheet.style.imageRendering = scale * window.devicePixelRatio < 1 ? "auto" : "pixelated";
    this.zoomed(scale);
  }

  fit() {
    this.fitted = true;
    const scale = Math.min(this.node.clientWidth / this.width, this.node.clientHeight / this.height);
    // Whole multiples keep all pixels the same size.
    this.place(scale >= 2 ? Math.floor(scale) : scale, 0, 0);
  }

  resize() {
    if (this.fitted) this.fit();
    else this.move(this.at.x, this.at.y);
  }

  move(x, y) {
    this.fitted = false;
    this.place(this.at.scale, x, y);
  }

  zoom(factor, centre = { x: this.node.clientWidth / 2, y: this.node.clientHeight / 2 }) {
    const { at, node } = this;
    const least = Math.min(1, node.clientWidth / this.width, node.clientHeight / this.height);
    const scale = clamp(at.scale * factor, least, MAX_SCALE);
    const from = (middle, offset) => middle - ((middle - offset) * scale) / at.scale;
    this.fitted = false;
    this.place(scale, from(centre.x, at.x), from(centre.y, at.y));
  }

  // What is on it.
  showPicture(bitmap, smooth) {
    // A small picture is drawn larger, once and smoothly, for eyes that would see squares.
    const larger = smooth ? Math.max(1, Math.floor(SMOOTH / Math.max(this.width, this.height))) : 1;
    [this.picture.width, this.picture.height] = [larger * this.width, larger * this.height];
    const context = this.picture.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, this.picture.width, this.picture.height);
    this.picture.style.imageRendering = larger > 1 ? "auto" : "";
  }

  showLabels(labels, { left, top, right, bottom }) {
    for (let y = top; y < bottom; y++) {
      for (let i = y * this.width + left; i < y * this.width + right; i++) this.words[i] = this.colors[labels[i]];
    }
    this.tintContext.putImageData(this.pixels, 0, 0, left, top, right - left, bottom - top);
  }

  /** The outline of what a click would paint: a circle of so many picture pixels around one; null hides it. */
  showCursor(pixel, size, color) {
    this.cursor.hidden = !pixel;
    if (!pixel) return;
    const [{ x, y }, wide] = [this.toScreen(pixel), Math.max(4, size * this.at.scale)];
    Object.assign(this.cursor.style, { width: `${wide}px`, height: `${wide}px`, color });
    this.cursor.style.transform = `translate(${x - wide / 2}px, ${y - wide / 2}px)`;
  }

  /** The outline of a polygon in the making, through screen positions; none hides it. */
  showCorners(points, color) {
    this.first.parentNode.style.display = points.length ? "" : "none";
    if (!points.length) return;
    this.first.parentNode.style.color = color;
    for (const line of this.lines) line.setAttribute("points", points.map(({ x, y }) => `${x},${y}`).join(" "));
    this.first.setAttribute("cx", points[0].x);
    this.first.setAttribute("cy", points[0].y);
  }
}
