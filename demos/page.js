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
    chips.forEach((chip, j) => chip.classList.toggle("chosen", i === j));
    soon(() => choose(i));
  }

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
