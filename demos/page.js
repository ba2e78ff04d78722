// Names and number keys for the brush: the editor's own swatches carry neither.
(() => {
  const editor = () => document.querySelector("#editor");
  const legend = () => document.querySelector("#legend");
  const press = (name) => editor()?.querySelector(`button[aria-label="${name}"]`)?.click();
  const swatches = () => [...(editor()?.querySelectorAll(".swatch button.color") ?? [])];
  // Until the editor has drawn itself again, however slow the machine.
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const drawn = async () => (await frame(), await frame(), new Promise((done) => setTimeout(done, 40)));

  // Without this the editor drops the first stroke after its settings changed.
  async function settle() {
    if (swatches().length) press("Color");
    press("Erase");
    await drawn();
    press("Brush");
    await drawn();
  }

  async function choose(i) {
    press("Brush");
    await drawn();
    if (!swatches().length) press("Color");
    await drawn();
    swatches()[i]?.click();
    await drawn();
    await settle();
  }

  // One after the other, so that keys pressed in a hurry do not undo each other.
  let last = Promise.resolve(), waiting = 0;
  function soon(change) {
    waiting += 1;
    legend()?.setAttribute("aria-busy", "true");
    last = last.then(change).finally(() => {
      waiting -= 1;
      if (!waiting) legend()?.setAttribute("aria-busy", "false");
    });
  }

  function pick(i) {
    const chips = [...document.querySelectorAll("#legend .chip")];
    if (i >= chips.length) return;
    chips.forEach((chip, j) => {
      chip.classList.toggle("chosen", i === j);
      chip.setAttribute("aria-pressed", i === j);
    });
    soon(() => choose(i));
  }

  // For screen readers: Gradio names no canvas, and nothing that changes by itself is announced.
  const NAMES = { "#shot-examples": "Example", "#segment-examples": "Portrait", "#shots": "Shot", "#gallery": "Face" };
  function named() {
    const canvas = document.querySelector("#editor .pixi-target canvas:not([aria-label])");
    canvas?.setAttribute("role", "img");
    canvas?.setAttribute("aria-label", "The face to label, and what is painted on it");
    document.querySelectorAll(".block.status:not([aria-live])").forEach((one) => one.setAttribute("aria-live", "polite"));
    for (const [gallery, name] of Object.entries(NAMES)) {
      document.querySelectorAll(`${gallery} button.thumbnail-item`).forEach((item, i) => {
        if (item.ariaLabel !== `${name} ${i + 1}`) item.ariaLabel = `${name} ${i + 1}`;
      });
    }
  }
  new MutationObserver(named).observe(document, { subtree: true, childList: true });

  document.addEventListener("click", (event) => {
    const chip = event.target.closest?.("#legend .chip");
    if (chip) pick(Number(chip.dataset.class));
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("#editor input[type=range]")) soon(settle);
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const key = /^[0-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (key && !typing) pick(Number(event.key));
  });
})();
