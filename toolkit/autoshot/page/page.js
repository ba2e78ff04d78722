// What a person does: open pictures, or the webcam, look at their parts, and take the labels away.

const find = (id) => document.getElementById(id);
const about = JSON.parse(find("about").textContent);
const WEBCAM = { video: { width: { ideal: 640 }, facingMode: "user" } };

function say(text, failed = false) {
  find("status").textContent = text;
  find("status").classList.toggle("failed", failed);
}

find("parts").textContent = new Intl.ListFormat("en").format(about.classes.slice(1));
about.classes.forEach((name, i) => {
  const item = document.createElement("li");
  const colour = document.createElement("i");
  colour.style.background = `rgb(${about.palette[i]})`;
  item.append(colour, name);
  find("legend").append(item);
});

/** A card of one picture, or of the webcam. */
class Card {
  constructor(name) {
    this.card = find("result").content.firstElementChild.cloneNode(true);
    this.name = name;
    this.part("h2").textContent = this.part("h2").title = name;
    this.part(".save").setAttribute("aria-label", `Labels of ${name} as PNG`);
    this.part(".remove").setAttribute("aria-label", `Remove ${name}`);
    this.part(".save").onclick = () => this.save();
    this.part(".remove").onclick = () => this.remove();
  }

  part(selector) {
    return this.card.querySelector(selector);
  }

  /** Segment what a canvas can draw, and show it with its parts. */
  async show(source, from) {
    const found = await segment(source, from);
    this.found = { ...found, from };
    draw(this.part(".picture"), found.size, (context) => {
      context.fillStyle = "#fff";
      context.fillRect(0, 0, found.size.width, found.size.height);
      context.imageSmoothingQuality = "high";
      context.drawImage(source, 0, 0, found.size.width, found.size.height);
    });
    draw(this.part(".tint"), found.size, (context) => context.putImageData(tinted(found), 0, 0));
    // A small picture is enlarged to fill its card, a tall one stays on the screen.
    const { width, height } = found.size;
    this.part(".picture").style.width = `min(${(58 * width) / height}vh, 720px)`;
    this.part(".tint").setAttribute("aria-label", `Parts of ${this.name}: ${shares(found.labels)}`);
    this.part(".trust").textContent = trusted(found.trust);
    this.part(".trust").classList.toggle("low", found.trust < about.low_trust);
    if (!this.placed) find("results").prepend(this.card); // once: removed, it stays away
    this.placed = true;
  }

  /** The labels in the picture's own pixels. */
  async save() {
    const { labels, size, from } = this.found;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await labelPng(nearest(labels, size, from), from, about.palette));
    link.download = `${this.name.replace(/\.[^.]*$/, "")}.parts.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  remove() {
    this.card.remove();
    find("open").focus();
  }
}

function draw(canvas, { width, height }, act) {
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  act(canvas.getContext("2d"));
}

/** The colours of the labels; background stays clear. */
function tinted({ labels, size }) {
  const image = new ImageData(size.width, size.height);
  const colours = Uint32Array.from(about.palette, ([r, g, b], i) => (i ? (255 << 24) | (b << 16) | (g << 8) | r : 0));
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < labels.length; i++) pixels[i] = colours[labels[i]];
  return image;
}

function trusted(trust) {
  if (trust === undefined) return "";
  const words = trust < about.low_trust
    ? "Do not believe these parts: this network never saw any that lie so."
    : "The parts lie as this network knows them: they can be believed.";
  return `${words} Trust ${trust.toFixed(2)}.`;
}

/** "face 31%, hair 20%", for those who do not see the picture. */
function shares(labels) {
  const counts = about.classes.map(() => 0);
  for (const label of labels) counts[label]++;
  const parts = about.classes.map((name, i) => ({ name, percent: (100 * counts[i]) / labels.length })).slice(1);
  const words = ({ name, percent }) => `${name} ${percent < 1 ? "under 1" : Math.round(percent)}%`;
  return parts.filter(({ percent }) => percent).map(words).join(", ") || "none";
}

const pause = () => new Promise((done) => setTimeout(done)); // so that words are seen before the work

async function openPictures(files) {
  const refused = [];
  for (const [i, file] of files.entries()) {
    say(`Segmenting ${file.name}, ${i + 1} of ${files.length}…`);
    await pause();
    try {
      const picture = await createImageBitmap(file);
      await new Card(file.name).show(picture, { width: picture.width, height: picture.height });
      picture.close();
    } catch (error) {
      refused.push(`${file.name} (${error.message})`);
    }
  }
  const done = files.length - refused.length;
  const words = done === 1 ? "1 picture segmented." : `${done} pictures segmented.`;
  const sorry = refused.length ? ` Not these: ${refused.join(", ")} Save them as PNG or JPEG.` : "";
  say(words + sorry, refused.length > 0);
}

/** The webcam on a card of its own, until it is stopped. */
class Webcam extends Card {
  async run() {
    const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
    video.srcObject = this.stream = await navigator.mediaDevices.getUserMedia(WEBCAM);
    await video.play();
    let frames = 0, since = performance.now();
    while (this.stream.active) {
      await this.show(video, { width: video.videoWidth, height: video.videoHeight });
      frames++;
      const seconds = (performance.now() - since) / 1000;
      if (seconds >= 1) {
        this.part(".rate").textContent = `${(frames / seconds).toFixed(1)} pictures a second`;
        frames = 0;
        since = performance.now();
      }
      await new Promise((done) => video.requestVideoFrameCallback(done));
    }
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    find("webcam").textContent = "Use webcam";
    find("webcam").setAttribute("aria-pressed", "false");
    webcam = undefined;
  }

  remove() {
    this.stop();
    super.remove();
  }
}

let webcam;

async function toggleWebcam() {
  if (webcam) {
    webcam.stop();
    say("The webcam is off; its last picture stays.");
    return;
  }
  find("webcam").textContent = "Stop webcam";
  find("webcam").setAttribute("aria-pressed", "true");
  say("The webcam is on.");
  const started = (webcam = new Webcam("Webcam"));
  try {
    await started.run();
  } catch (error) {
    started.stop();
    say(`No picture from a webcam (${error.message}). Allow it in the browser, or open pictures.`, true);
  }
}

find("open").onclick = () => find("files").click();
find("files").onchange = ({ target }) => {
  openPictures([...target.files]);
  target.value = ""; // the same file may be opened again
};
find("webcam").onclick = toggleWebcam;
find("shown").onchange = ({ target }) => document.body.classList.toggle("hidden", !target.checked);
find("opacity").oninput = ({ target }) => document.body.style.setProperty("--opacity", target.value / 100);
document.ondragover = (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
};
document.ondragleave = ({ relatedTarget }) => relatedTarget || document.body.classList.remove("dropping");
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (segment) openPictures([...event.dataTransfer.files]);
};

let segment;
try {
  segment = await startNetwork(about);
  find("open").disabled = find("webcam").disabled = false;
  say("Ready.");
} catch (error) {
  say(`The network does not start in this browser (${error.message}). Try a newer one.`, true);
}
