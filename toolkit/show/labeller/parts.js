// What the page is made of: icons, buttons, sliders.

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
