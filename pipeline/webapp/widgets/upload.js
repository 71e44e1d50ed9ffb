// Uploads one file in pieces by the tus protocol, so that it can be paused, goes on after a broken connection, and goes
// on where it stopped when the same file is chosen again later.

const PIECE_BYTES = 8 * 2 ** 20;
const SMALLEST_PIECE_BYTES = 2 ** 18; // a proxy that refuses even this is not to be satisfied
const PATIENCE_MS = [1000, 2000, 4000, 8000, 15000];
const PROTOCOL = { "Tus-Resumable": "1.0.0" };

const widgets = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement;
  if (!widgets.has(root)) widgets.set(root, new UploadWidget(root));
  const widget = widgets.get(root);
  widget.url = data.url;
  widget.done = (id) => setTriggerValue("uploaded", id);
  widget.part("kinds").textContent = data.kinds;
  return () => setTimeout(() => root.isConnected || widget.pause());
}

class Refusal extends Error {}

class UploadWidget {
  constructor(root) {
    this.part = (name) => root.querySelector(`.${name}`);
    this.input = root.querySelector("input");
    this.progress = root.querySelector("progress");
    this.part("choose").onclick = () => this.input.click();
    this.part("pause").onclick = () => (this.paused ? this.resume() : this.pause());
    this.part("cancel").onclick = () => this.cancel();
    this.input.onchange = () => this.input.files.length && this.begin(this.input.files[0]);
    this.acceptDrops(this.part("drop"));
    addEventListener("beforeunload", (event) => this.running && event.preventDefault());
  }

  acceptDrops(zone) {
    zone.ondragover = (event) => {
      event.preventDefault();
      zone.classList.add("over");
    };
    zone.ondragleave = () => zone.classList.remove("over");
    zone.ondrop = (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      const files = event.dataTransfer.files;
      if (files.length === 1) this.begin(files[0]);
      else if (files.length > 1) this.say("One file, please: put the slices into one zip.");
    };
  }

  begin(file) {
    this.file = file;
    this.memory = `vemseg-upload ${this.url} ${file.name} ${file.size} ${file.lastModified}`;
    this.pieceBytes = PIECE_BYTES;
    this.say("");
    this.part("name").textContent = file.name;
    this.show(true);
    this.input.value = "";
    this.resume();
    this.part("pause").focus();
  }

  async resume() {
    this.setPaused(false);
    const stop = (this.stop = new AbortController());
    this.running = true;
    try {
      const id = await this.send(stop.signal);
      localStorage.removeItem(this.memory);
      this.show(false);
      this.done(id);
    } catch (error) {
      if (stop.signal.aborted) return;
      localStorage.removeItem(this.memory);
      this.show(false);
      this.say(error.message);
      this.part("choose").focus();
    } finally {
      if (this.stop === stop) this.running = false;
    }
  }

  pause() {
    if (!this.running) return;
    this.stop.abort();
    this.setPaused(true);
    this.status("Paused.");
  }

  async cancel() {
    this.stop?.abort();
    this.running = false;
    const id = localStorage.getItem(this.memory);
    localStorage.removeItem(this.memory);
    this.show(false);
    this.part("choose").focus();
    if (id) await fetch(`${this.url}/${id}`, { method: "DELETE", headers: PROTOCOL });
  }

  // Send what the server lacks; the id of the whole upload.
  async send(signal) {
    let id = localStorage.getItem(this.memory);
    let offset = id ? await this.patiently(signal, () => this.received(id)) : null;
    if (offset === null) {
      id = await this.patiently(signal, () => this.create());
      offset = 0;
    }
    localStorage.setItem(this.memory, id);
    const speed = new Speed(offset);
    while (offset < this.file.size) {
      offset = await this.patiently(signal, async (again) => {
        const from = again ? await this.received(id) : offset;
        if (from === null) throw new Refusal("The server no longer has the first part of this file; please upload it again.");
        return this.sendPiece(id, from, signal, (sent) => this.showProgress(sent, speed));
      });
      this.showProgress(offset, speed);
    }
    return id;
  }

  async create() {
    const metadata = `filename ${base64(this.file.name)}`;
    const headers = { ...PROTOCOL, "Upload-Length": this.file.size, "Upload-Metadata": metadata };
    const answer = await fetch(this.url, { method: "POST", headers });
    if (answer.ok) return (await answer.json()).id;
    throw await problem(answer.status, await answer.text());
  }

  // How many bytes the server has, null where it knows nothing of the upload.
  async received(id) {
    const answer = await fetch(`${this.url}/${id}`, { method: "HEAD", headers: PROTOCOL });
    if (answer.ok) return Number(answer.headers.get("Upload-Offset"));
    if (answer.status === 404) return null;
    throw await problem(answer.status, "");
  }

  // Send the piece at an offset; where the next one begins. A request of its own kind, because fetch tells no progress.
  sendPiece(id, offset, signal, progress) {
    const piece = this.file.slice(offset, offset + this.pieceBytes);
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PATCH", `${this.url}/${id}`);
      const headers = { ...PROTOCOL, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
      Object.entries(headers).forEach(([name, value]) => request.setRequestHeader(name, value));
      request.upload.onprogress = (event) => progress(offset + event.loaded);
      request.onerror = () => reject(new Error("the connection broke"));
      request.onabort = request.onerror;
      request.onload = async () => {
        if (request.status === 204) resolve(offset + piece.size);
        else if (request.status === 413 && this.halvePiece()) reject(new Error("pieces are too large for a proxy"));
        else reject(await problem(request.status, request.responseText));
      };
      signal.addEventListener("abort", () => request.abort());
      request.send(piece);
    });
  }

  halvePiece() {
    this.pieceBytes /= 2;
    return this.pieceBytes >= SMALLEST_PIECE_BYTES;
  }

  // Try again, ever more slowly, until it works, the server refuses or the user stops it.
  async patiently(signal, attempt) {
    for (let failures = 0; ; failures++) {
      try {
        return await attempt(failures > 0);
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof Refusal) throw error;
        const wait = PATIENCE_MS[Math.min(failures, PATIENCE_MS.length - 1)];
        this.status(`The connection was lost; trying again in ${wait / 1000} s.`);
        await new Promise((resolve) => setTimeout(resolve, wait));
        signal.throwIfAborted();
      }
    }
  }

  showProgress(sent, speed) {
    this.progress.value = sent / this.file.size;
    this.status(`${size(sent)} of ${size(this.file.size)}${speed.describe(sent, this.file.size)}`);
  }

  show(transferring) {
    this.part("transfer").hidden = !transferring;
    this.part("drop").hidden = transferring;
    if (transferring) this.progress.value = 0;
  }

  setPaused(paused) {
    this.paused = paused;
    this.part("pause").textContent = paused ? "Resume" : "Pause";
  }

  say(text) {
    this.part("message").textContent = text;
  }

  status(text) {
    this.part("status").textContent = text;
  }
}

class Speed {
  constructor(offset) {
    this.offset = offset;
    this.begun = performance.now();
  }

  describe(sent, total) {
    const seconds = (performance.now() - this.begun) / 1000;
    if (seconds < 1 || sent <= this.offset) return "";
    const rate = (sent - this.offset) / seconds;
    return `, ${size(rate)}/s, ${duration((total - sent) / rate)} left`;
  }
}

// A refusal is final; anything else may pass.
async function problem(status, text) {
  if (status >= 400 && status !== 409 && (status < 500 || status === 507)) {
    return new Refusal(messageOf(text) ?? `The server refused the file (HTTP ${status}).`);
  }
  return new Error(`HTTP ${status}`);
}

function messageOf(text) {
  try {
    return JSON.parse(text).message;
  } catch {
    return null;
  }
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

function size(bytes) {
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(0)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
