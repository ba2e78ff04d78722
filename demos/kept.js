// What a tab has made is kept in the browser: after a reload, a lost connection or a new start of the server it comes
// back. The drawing and the settings are in the tab's own storage, files in a database, for they are large.
const kept = (() => {
  const DAY = 24 * 3600 * 1000;
  const read = () => {
    try {
      return JSON.parse(sessionStorage.getItem("kept") ?? "{}");
    } catch {
      return {}; // a browser that lets this page keep nothing
    }
  };
  const start = read();
  const work = new Set(start.unsaved ?? []); // what only this tab has
  const mine = new Set(); // keys of the files that this tab has written

  function put(more) {
    try {
      sessionStorage.setItem("kept", JSON.stringify({ ...read(), ...more }));
    } catch {
      // No room, or not allowed.
    }
  }

  /** The result of one request to the database's only store. */
  function files(mode, request) {
    return new Promise((done, failed) => {
      const opening = indexedDB.open("one-shot-parts", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("files");
      opening.onerror = () => failed(opening.error);
      opening.onsuccess = () => {
        const asked = request(opening.result.transaction("files", mode).objectStore("files"));
        asked.onsuccess = () => done(asked.result);
        asked.onerror = () => failed(asked.error);
        opening.result.close();
      };
    });
  }

  async function clean() {
    for (const key of await files("readonly", (all) => all.getAllKeys())) {
      if (Date.now() - Number(key.split("-")[0]) > DAY) await files("readwrite", (all) => all.delete(key));
    }
  }

  /** Keep the file of this name that the server offers; none forgets it. */
  async function file(name, offered) {
    const old = read().files?.[name];
    const key = offered ? `${Date.now()}-${Math.random()}` : undefined;
    if (offered) {
      const blob = await (await fetch(offered.url)).blob();
      await files("readwrite", (all) => all.put(blob, key));
      mine.add(key);
    }
    put({ files: { ...read().files, [name]: key } });
    if (name === "autoshot" && offered) unsaved(name);
    if (mine.delete(old)) await files("readwrite", (all) => all.delete(old)); // a copied tab keeps its own
  }

  const base64 = (blob) =>
    new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.split(",")[1] ?? "");
      reader.readAsDataURL(blob);
    });

  /** What was kept when the page was opened: {board, files: {name: base64}}. */
  async function before() {
    const found = {};
    try {
      for (const [name, key] of Object.entries(start.files ?? {})) {
        const blob = await files("readonly", (all) => all.get(key));
        if (blob) found[name] = await base64(blob);
      }
      clean();
    } catch {
      // No database: the drawing alone comes back.
    }
    return { board: start.board, files: found };
  }

  function unsaved(what, is = true) {
    work[is ? "add" : "delete"](what);
    put({ unsaved: [...work] });
  }

  // Gradio reloads the page by itself when a lost connection is back, and on leaving closes what it needs to go on.
  const lost = () => /connection lost/i.test(document.querySelector(".toast-wrap")?.innerText ?? "");
  addEventListener("beforeunload", (event) => {
    if (!work.size || lost()) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });

  // What has been taken away is safe; a new network, which took minutes, is not.
  addEventListener("click", (event) => {
    if (event.target.closest?.("#shots-download")) unsaved("shots", false);
    if (event.target.closest?.("#download-safetensors, #download-onnx")) unsaved("autoshot", false);
  });

  const settings = () => start.settings;
  return { put, file, before, unsaved, settings };
})();
