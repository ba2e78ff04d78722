// Keys, while the widget has the focus.

function handleKeys(root, does, pointers, numClasses, showState, listen) {
  const hold = (space) => ((pointers.space = space), showState());
  const polygon = (how) => () => (pointers[how](), pointers.changed());
  const keys = {
    "[": () => does.grow(-1),
    "]": () => does.grow(1),
    z: does.undo,
    Z: does.redo,
    y: does.redo,
    o: does.overlay,
    "+": does.zoomIn,
    "=": does.zoomIn,
    "-": does.zoomOut,
    Home: does.fit,
    ArrowLeft: () => does.turn(-1),
    ArrowRight: () => does.turn(1),
    Enter: polygon("closePolygon"),
    Escape: polygon("openPolygon"),
    " ": () => hold(true),
  };
  for (const [name, , key] of TOOLS) keys[key] = () => does.tool(name);
  for (let i = 0; i < Math.min(numClasses, 10); i++) keys[i] = () => does.choose(i);

  // With the picture itself in focus, arrows move the brush and space puts it down and lifts it.
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  function steer(event) {
    if (event.ctrlKey || event.metaKey) return false;
    const arrow = ARROWS[event.key];
    if (arrow) pointers.steer(...arrow.map((step) => step * (event.shiftKey ? 8 : 1)));
    else if (event.key === " ") pointers.putDown();
    else if (event.key === "Escape" && pointers.gesture) pointers.lift("cancel");
    else return false;
    return true;
  }

  function press(event) {
    if (!root.contains(event.target) || event.altKey) return;
    if (event.target === pointers.stage.node && steer(event)) return event.preventDefault(), event.stopPropagation();
    const [command, onSlider] = [event.ctrlKey || event.metaKey, event.target.type === "range"];
    if (command && !"zZy".includes(event.key)) return;
    const mine = keys[event.key];
    if (event.key.length > 1 && (!mine || onSlider || event.shiftKey)) return;
    if (["Enter", " "].includes(event.key) && event.target.matches("button")) return event.stopPropagation();
    event.stopPropagation();
    event.preventDefault();
    if (!pointers.gesture) mine?.();
  }

  // On window, in the capture phase: else JupyterLab would take x for "cut this cell".
  listen(window, "keydown", press, { capture: true });
  listen(window, "keyup", (event) => event.key === " " && pointers.space && hold(false));
}
