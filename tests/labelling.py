"""Drawing with the labeller, in a notebook or in the page, and what its tools should cover."""

import math

import numpy as np


class Labeller:
    """A labeller on screen; `page` is the browser's, `size` (width, height) of the pictures, and `labels` its own."""

    within = ""  # a selector of what it is in

    def labels(self):
        """What Python holds, (N, H, W)."""
        raise NotImplementedError

    def holds(self, expected):
        """Whether Python comes to hold exactly these labels: a stroke takes a moment to get there."""
        for _ in range(100):
            if np.array_equal(self.labels(), expected):
                return True
            self.page.wait_for_timeout(50)
        return False

    def wait_for_picture(self, index):
        self.page.wait_for_selector(f"{self.within} .toolkit-labeller[data-ready='{index}']")

    # The mouse, in picture pixels.

    def still(self):
        """Wait until the stage stays where it is: pictures above it that load late, or scrolling, move it."""
        self.page.wait_for_function(
            """selector => {
                const { x, y } = document.querySelector(selector).getBoundingClientRect();
                const [was, same] = window.stageWas ?? ["", 0];
                window.stageWas = [`${x} ${y}`, was === `${x} ${y}` ? same + 1 : 0];
                return window.stageWas[1] > 5 && !(window.stageWas = undefined);
            }""",
            arg=f"{self.within} .toolkit-labeller .stage",
        )

    def place(self, point):
        box = self.page.locator(f"{self.within} .toolkit-labeller .stage").bounding_box()
        width, height = self.size
        scale = min(box["width"] / width, box["height"] / height)
        scale = math.floor(scale) if scale >= 2 else scale
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + (point[0] + 0.5) * scale, top + (point[1] + 0.5) * scale

    def drag(self, *points):
        self.still()
        self.page.mouse.move(*self.place(points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.place(point))
        self.page.mouse.up()

    def click(self, point):
        self.still()
        self.page.mouse.click(*self.place(point))

    def press(self, key):
        self.page.keyboard.press(key)


# What the tools should cover, worked out another way than on the page.


def brushed(points, size, shape):
    """Pixels within size / 2 of the line through the points."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    covered = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points):
        length = max((bx - ax) ** 2 + (by - ay) ** 2, 1)
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0, 1)
        covered |= 4 * ((x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2) <= size**2
    return covered


def enclosed(points, shape):
    """Pixels around which the closed outline turns, by the sum of the angles it is seen under; and the outline."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    turned = np.zeros(shape)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]]):
        a, b = (ax - x) + 1j * (ay - y), (bx - x) + 1j * (by - y)
        turned += np.angle(b * np.conj(a))
    return (np.abs(turned) > 3) | brushed([*points, points[0]], 1, shape)


def reached(free, start):
    """Pixels that are free and hang together with `start` (x, y)."""
    found = np.zeros_like(free)
    found[start[1], start[0]] = True
    while True:
        grown = found.copy()
        grown[1:] |= found[:-1]
        grown[:-1] |= found[1:]
        grown[:, 1:] |= found[:, :-1]
        grown[:, :-1] |= found[:, 1:]
        if np.array_equal(grown & free, found):
            return found
        found = grown & free


def draws_exactly(labeller, expected):
    """Use every tool of a labeller whose brush has 5 pixels and which has 4 classes, the second one chosen.

    expected: (N, H, W), what Python holds at first; what it should hold in the end is drawn into it.
    """
    first, shape = expected[0], expected.shape[1:]
    labeller.click((2, 2))
    first[brushed([(2, 2)], 5, shape)] = 1
    assert labeller.holds(expected)

    labeller.press("2")
    wave = [(10 + i, 20 + round(6 * math.sin(i / 3))) for i in range(40)]
    labeller.drag(*wave)
    first[brushed(wave, 5, shape)] = 2
    assert labeller.holds(expected)

    labeller.press("]")
    labeller.press("e")
    labeller.drag((20, 10), (33, 30))
    first[brushed([(20, 10), (33, 30)], 7, shape)] = 255
    assert labeller.holds(expected)

    labeller.press("z")
    undone = expected.copy()
    undone[0][brushed(wave, 5, shape)] = 2
    assert labeller.holds(undone)
    labeller.press("Shift+Z")
    assert labeller.holds(expected)

    labeller.press("l")
    labeller.press("3")
    corners = [(40, 5), (60, 8), (57, 30), (50, 12), (42, 25)]
    for corner in corners:
        labeller.click(corner)
    assert np.array_equal(labeller.labels(), expected)  # nothing before it is closed
    labeller.press("Enter")
    first[enclosed(corners, shape)] = 3
    assert labeller.holds(expected)

    loop = [(round(14 + 9 * math.cos(t / 5)), round(38 + 6 * math.sin(t / 5))) for t in range(32)]
    labeller.drag(*loop)
    first[enclosed(loop, shape)] = 3
    assert labeller.holds(expected)

    labeller.press("0")
    labeller.press("f")
    corner = (shape[1] - 1, shape[0] - 1)
    assert first[corner[::-1]] == 255
    labeller.click(corner)
    first[reached(first == 255, corner)] = 0
    assert labeller.holds(expected)


# What a mouse move costs.

MOVES = 200
# One move a frame, as a browser delivers them; times the handlers, then what they asked to be drawn.
STROKE = """async (points) => {
    const stage = document.querySelector(".toolkit-labeller .stage"), box = stage.getBoundingClientRect();
    const frame = window.requestAnimationFrame.bind(window), costs = [], frames = [];
    let drawing = 0;
    window.requestAnimationFrame = (draw) => frame((time) => {
        const start = performance.now();
        draw(time);
        drawing += performance.now() - start;
    });
    const send = (type, [x, y]) => stage.dispatchEvent(new PointerEvent(type, {
        bubbles: true, pointerId: 1, pointerType: "mouse", isPrimary: true, button: 0, buttons: 1,
        clientX: box.left + x * box.width, clientY: box.top + y * box.height,
    }));
    send("pointerdown", points[0]);
    for (const point of points) {
        drawing = 0;
        const start = performance.now();
        send("pointermove", point);
        const handling = performance.now() - start;
        await new Promise((done) => frame(() => setTimeout(done)));
        costs.push(handling + drawing);
        frames.push(performance.now() - start);
    }
    send("pointerup", points.at(-1));
    window.requestAnimationFrame = frame;
    return [costs, frames];
}"""


def cost(page):
    """Draw a stroke of `MOVES` moves over half the picture: dict, milliseconds a move.

    A move costs its event handler, and what that asked to be done before the next frame (median, 95th percentile,
    worst); `frame_ms` is the time from the move to the end of that frame (median, 95th percentile); `cpu_ms` is the
    processor time of all the page did, which other programs do not lengthen.
    """
    points = [(0.25 + 0.5 * i / MOVES, 0.5 + 0.3 * ((i % 40) / 20 - 1)) for i in range(MOVES)]
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    busy = _busy(devtools)
    costs, frames = map(sorted, page.evaluate(STROKE, points))
    busy = _busy(devtools) - busy
    devtools.detach()
    middle, most = MOVES // 2, int(0.95 * MOVES)
    return {
        "moves": MOVES,
        "median_ms": round(costs[middle], 2),
        "p95_ms": round(costs[most], 2),
        "worst_ms": round(costs[-1], 2),
        "frame_ms": round(frames[middle], 1),
        "frame_p95_ms": round(frames[most], 1),
        "cpu_ms": round(1000 * busy / MOVES, 2),
    }


def _busy(devtools):
    """Seconds of processor time that the page's tasks have taken: scripts, layout and painting."""
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    return metrics["TaskDuration"]
