// For screen readers: names that Gradio leaves out or gets wrong, and announcements of what changes by itself.
(() => {
  const NAMES = {
    "#try-examples": "A picture to try:",
    "#shot-examples": "Labelled picture",
    "#segment-examples": "A picture to segment:",
    "#shots": "Shot",
    "#gallery": "Face",
  };
  function name(one, text) {
    if (one.ariaLabel !== text) one.ariaLabel = text;
  }
  function named() {
    const all = (selector, change) => document.querySelectorAll(selector).forEach(change);
    all(".block.status:not([aria-live])", (one) => one.setAttribute("aria-live", "polite"));
    all(".empty[aria-label]:not([role])", (one) => one.setAttribute("role", "img"));
    all("button.upload-container[aria-label]", (one) => one.removeAttribute("aria-label")); // its text says it
    all("button > .image-frame", ({ parentElement: one }) => {
      name(one, one.closest(".block").querySelector("[data-testid=block-label]")?.innerText.trim() || "Picture");
    });
    for (const [gallery, text] of Object.entries(NAMES)) {
      all(`${gallery} button.thumbnail-item`, (one, i) => name(one, `${text} ${i + 1}`));
    }
  }
  new MutationObserver(named).observe(document, { subtree: true, childList: true });
})();
