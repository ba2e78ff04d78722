// For screen readers: Gradio names no thumbnail, and nothing that changes by itself is announced.
(() => {
  const NAMES = { "#shot-examples": "Example", "#segment-examples": "Portrait", "#shots": "Shot", "#gallery": "Face" };
  function named() {
    document.querySelectorAll(".block.status:not([aria-live])").forEach((one) => one.setAttribute("aria-live", "polite"));
    for (const [gallery, name] of Object.entries(NAMES)) {
      document.querySelectorAll(`${gallery} button.thumbnail-item`).forEach((item, i) => {
        if (item.ariaLabel !== `${name} ${i + 1}`) item.ariaLabel = `${name} ${i + 1}`;
      });
    }
  }
  new MutationObserver(named).observe(document, { subtree: true, childList: true });
})();
