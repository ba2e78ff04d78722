// Names and number keys for the brush: the editor's own swatches carry neither.
(() => {
  const editor = () => document.querySelector("#editor");
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
    const swatch = swatches()[i];
    if (!swatch) return;
    swatch.click();
    await drawn();
    await settle();
    document.querySelectorAll("#legend .chip").forEach((chip, j) => chip.classList.toggle("chosen", i === j));
  }

  document.addEventListener("click", (event) => {
    const chip = event.target.closest?.("#legend .chip");
    if (chip) choose(Number(chip.dataset.class));
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches?.("#editor input[type=range]")) settle();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const key = /^[0-9]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (key && !typing) choose(Number(event.key));
  });
})();
