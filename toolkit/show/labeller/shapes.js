// Shapes, as the pixels they cover. Points are pixels; a pixel is where its centre is.

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

/** Pixels of one label that are 4-connected with `start`. */
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
