// What a tab has made is kept in the browser: after a reload, a lost connection or a new start of the server it comes
// back. The drawing, the settings and frames are in the tab's own storage, files and uploads in a database, for they are
// large.
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

  /** Fetch a file of the server and keep it; resolves to its key. */
  async function fetched(address) {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error(`${answer.status} of ${address}`);
    const [blob, key] = [await answer.blob(), `${Date.now()}-${Math.random()}`];
    await files("readwrite", (all) => all.put(blob, key));
    mine.add(key);
    return key;
  }

  async function forget(key) {
    if (mine.delete(key)) await files("readwrite", (all) => all.delete(key)); // a copied tab keeps its own
  }

  /** Keep the file of this name that the server offers; none forgets it. */
  async function file(name, offered) {
    const old = read().files?.[name];
    const key = offered ? await fetched(offered.url) : undefined;
    put({ files: { ...read().files, [name]: key } });
    if (name === "autoshot" && offered) unsaved(name);
    await forget(old);
  }

  let turn = Promise.resolve();

  /** Keep the uploads that are at these paths on the server as those of one place on the page, and no others of it. */
  function uploads(place, paths) {
    turn = turn.then(async () => {
      const before = read().uploads?.[place] ?? [];
      const now = [];
      for (const of of paths) {
        const known = before.find((one) => one.of === of && mine.has(one.key));
        now.push(known ?? { of, key: await fetched(`gradio_api/file=${encodeURI(of)}`) });
      }
      put({ uploads: { ...read().uploads, [place]: now } });
      for (const { key } of before) if (!now.some((one) => one.key === key)) await forget(key);
    });
    turn = turn.catch((error) => console.warn("An upload cannot be kept:", error)); // no database, or it is gone
  }

  /** Keep the frame over an upload. */
  function frame(of, numbers) {
    put({ frames: { ...read().frames, [of]: numbers } });
  }

  /** Give the server an upload again; resolves to one {file, frame}, as Gradio's components send a file, or to none. */
  async function sent({ of, key }) {
    const blob = await files("readonly", (all) => all.get(key));
    if (!blob) return [];
    const form = new FormData();
    form.append("files", blob, of.split(/[\\/]/).at(-1));
    const [path] = await (await fetch("gradio_api/upload", { method: "POST", body: form })).json();
    return [{ file: { path, meta: { _type: "gradio.FileData" } }, frame: start.frames?.[of] }];
  }

  const base64 = (blob) =>
    new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.split(",")[1] ?? "");
      reader.readAsDataURL(blob);
    });

  /** What was kept when the page was opened: {board, files: {name: base64}, uploads: {place: [{file, frame}]}}. */
  async function before() {
    const [found, again] = [{}, {}];
    try {
      for (const [name, key] of Object.entries(start.files ?? {})) {
        const blob = await files("readonly", (all) => all.get(key));
        if (blob) found[name] = await base64(blob);
      }
      for (const [place, all] of Object.entries(start.uploads ?? {})) again[place] = (await Promise.all(all.map(sent))).flat();
      clean();
    } catch {
      // No database: the drawing alone comes back.
    }
    return { board: start.board, files: found, uploads: again };
  }

  function unsaved(what, is = true) {
    work[is ? "add" : "delete"](what);
    put({ unsaved: [...work] });
  }

  // Gradio reloads the page by itself when a lost connection is back, and on leaving closes what it needs to go on.
  const lost = () => /connection .*lost/i.test(document.querySelector(".toast-wrap")?.innerText ?? "");
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
  return { put, file, uploads, frame, before, unsaved, settings };
})();
