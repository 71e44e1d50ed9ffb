// Shows a segmentation slice by slice. A slice comes as one picture: red is its grey value, green the number of
// its class, from 1. It is coloured here, so that the controls of colours ask the server for nothing.

const KEPT_SLICES = 48;
const MOST_ZOOM = 16;
const RETRY_MS = 2000;
const PLANES = [["z", 1, 2], ["y", 0, 2], ["x", 0, 1]]; // for each view: the axis across it, its rows, its columns
const SCALE_BARS_NM = [1, 2, 5].flatMap((n) => [10, 100, 1e3, 1e4, 1e5].map((unit) => n * unit)).sort((a, b) => a - b);

const viewers = new WeakMap();

export default function ({ data, parentElement }) {
  if (!viewers.has(parentElement)) viewers.set(parentElement, new Viewer(parentElement));
  viewers.get(parentElement).open(data);
}

class Viewer {
  constructor(root) {
    this.part = (name) => root.querySelector(`.${name}`);
    this.canvas = root.querySelector("canvas");
    this.axes = [...root.querySelectorAll("[name=axis]")];
    this.axes.forEach((radio) => (radio.onchange = () => this.turn(Number(radio.value))));
    this.part("slice").oninput = () => this.go(Number(this.part("slice").value));
    for (const name of ["opacity", "brightness", "contrast", "alone"]) this.part(name).oninput = () => this.paint();
    this.part("all").onclick = () => this.toggle(true);
    this.part("none").onclick = () => this.toggle(false);
    this.listen(this.canvas);
    new ResizeObserver(() => this.paint()).observe(this.canvas);
  }

  open(data) {
    if (this.data?.url !== data.url) this.begin(data); // else the page ran again, with the same result
    if (JSON.stringify(data.at) !== JSON.stringify(this.at)) this.find(data.at);
  }

  begin(data) {
    [this.data, this.at] = [data, null];
    this.slices = new Map();
    this.positions = data.shape_zyx.map((length) => Math.floor(length / 2));
    this.part("list").replaceChildren(...data.classes.map(classRow));
    this.boxes = [...this.part("list").querySelectorAll("input")];
    this.boxes.forEach((box, i) => {
      box.checked = !data.classes[i].background;
      box.onchange = () => this.paint();
    });
    this.turn(0);
  }

  // Go to an object, or leave the one that is framed.
  find(at) {
    this.at = at;
    if (!at) return this.paint();
    this.positions = [...at.centre_zyx];
    this.turn(this.axis);
  }

  turn(axis) {
    this.axis = axis;
    [this.across, this.rowAxis, this.columnAxis] = PLANES[axis];
    this.reset();
    if (this.at) this.approach();
    const slider = this.part("slice");
    slider.max = this.data.shape_zyx[axis] - 1;
    this.go(this.positions[axis]);
  }

  async go(index) {
    clearTimeout(this.retry);
    const last = this.data.shape_zyx[this.axis] - 1;
    index = Math.max(0, Math.min(index, last));
    this.positions[this.axis] = index;
    this.part("slice").value = index;
    this.part("which").textContent = `${this.across} = ${index} of 0–${last}`;
    this.canvas.setAttribute("aria-label", `Slice ${this.across} = ${index}, grey values with classes in colour`);
    const axis = this.axis;
    try {
      const slice = await this.fetched(axis, index);
      if (axis !== this.axis || index !== this.positions[axis]) return; // the user has moved on
      [this.slice, this.shown] = [slice, `${this.across} ${index}`];
      this.part("problem").textContent = "";
      this.paint();
      [index - 1, index + 1].filter((i) => i >= 0 && i <= last).forEach((i) => this.fetched(axis, i).catch(() => {}));
    } catch (error) {
      if (axis !== this.axis || index !== this.positions[axis]) return;
      this.part("problem").textContent = "This slice could not be loaded; is the connection to the server lost?";
      // A server that is started again answers soon; what it refuses it will refuse again.
      if (!error.refused && this.canvas.isConnected) this.retry = setTimeout(() => this.go(index), RETRY_MS);
    }
  }

  fetched(axis, index) {
    const key = `${axis}/${index}`;
    const kept = this.slices.get(key);
    this.slices.delete(key);
    const slice = kept ?? load(`${this.data.url}/${key}.png`);
    this.slices.set(key, slice); // now the youngest
    slice.catch(() => this.slices.delete(key));
    if (this.slices.size > KEPT_SLICES) this.slices.delete(this.slices.keys().next().value);
    return slice;
  }

  toggle(on) {
    this.boxes.forEach((box) => (box.checked = on));
    this.paint();
  }

  // Colour the slice, then draw the part that is in view, each voxel as large as it is in the tissue.
  paint() {
    if (!this.slice) return;
    const { width, height } = this.slice;
    const picture = new OffscreenCanvas(width, height);
    picture.getContext("2d").putImageData(this.coloured(), 0, 0);
    const [heightNm, widthNm] = this.sizeNm();
    this.canvas.style.aspectRatio = `${widthNm} / ${Math.max(heightNm, widthNm / 6)}`;
    this.canvas.style.maxHeight = "80vh";
    this.canvas.width = Math.round(this.canvas.clientWidth * devicePixelRatio);
    this.canvas.height = Math.round(this.canvas.clientHeight * devicePixelRatio);
    this.scale = Math.min(this.canvas.width / widthNm, this.canvas.height / heightNm) * this.zoom; // pixels a nm
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const [left, top] = this.corner();
    context.drawImage(picture, left, top, widthNm * this.scale, heightNm * this.scale);
    this.drawFrame(context, left, top);
    this.drawScaleBar(context);
    this.canvas.dataset.drawn = this.shown;
  }

  coloured() {
    const { width, height, data } = this.slice;
    const alone = this.part("alone").checked;
    const colours = [null, ...this.data.classes.map(({ color }, i) => (this.boxes[i].checked && !alone ? rgb(color) : null))];
    const strength = Number(this.part("opacity").value) / 100;
    const greys = this.greys();
    const picture = new ImageData(width, height);
    for (let i = 0; i < data.length; i += 4) {
      const value = greys[data[i]];
      const colour = colours[data[i + 1]];
      for (let c = 0; c < 3; c++) picture.data[i + c] = colour ? value + (colour[c] - value) * strength : value;
      picture.data[i + 3] = 255;
    }
    return picture;
  }

  // Each grey value as it is to be shown: contrast about the middle, then brightness.
  greys() {
    const [brightness, contrast] = ["brightness", "contrast"].map((name) => Number(this.part(name).value) / 100);
    const slope = 4 ** contrast;
    return Uint8ClampedArray.from({ length: 256 }, (_, grey) => (grey - 127.5) * slope + 127.5 + 127.5 * brightness);
  }

  sizeNm() {
    return [this.rowAxis, this.columnAxis].map((axis) => this.data.shape_zyx[axis] * this.data.voxel_size_nm[axis]);
  }

  corner() {
    const [heightNm, widthNm] = this.sizeNm();
    return [this.canvas.width / 2 + (this.pan[0] - widthNm / 2) * this.scale, this.canvas.height / 2 + (this.pan[1] - heightNm / 2) * this.scale];
  }

  // A box around the object, in the slices that it reaches.
  drawFrame(context, left, top) {
    const position = this.positions[this.axis];
    const reached = this.at && position >= this.at.start_zyx[this.axis] && position < this.at.stop_zyx[this.axis];
    this.canvas.dataset.framed = Boolean(reached);
    if (!reached) return;
    const ends = (axis) => [this.at.start_zyx[axis], this.at.stop_zyx[axis]].map((n) => n * this.data.voxel_size_nm[axis] * this.scale);
    const [[y0, y1], [x0, x1]] = [ends(this.rowAxis), ends(this.columnAxis)];
    for (const [width, colour] of [[4, "#000"], [2, "#fff"]]) {
      [context.lineWidth, context.strokeStyle] = [width * devicePixelRatio, colour];
      context.strokeRect(left + x0, top + y0, x1 - x0, y1 - y0);
    }
  }

  drawScaleBar(context) {
    const lengthNm = SCALE_BARS_NM.filter((nm) => nm * this.scale < this.canvas.width / 4).pop();
    if (!lengthNm) return;
    const unit = devicePixelRatio;
    const [x, y, length] = [12 * unit, this.canvas.height - 12 * unit, lengthNm * this.scale];
    context.fillStyle = "rgb(0 0 0 / 75%)";
    context.fillRect(x - 6 * unit, y - 24 * unit, Math.max(length, 44 * unit) + 12 * unit, 30 * unit);
    context.fillStyle = "#fff";
    context.fillRect(x, y - 4 * unit, length, 4 * unit);
    context.font = `${12 * unit}px sans-serif`;
    context.fillText(lengthNm < 1000 ? `${lengthNm} nm` : `${lengthNm / 1000} µm`, x, y - 9 * unit);
  }

  reset() {
    this.zoom = 1;
    this.pan = [0, 0];
  }

  // So near that the object fills a third of the picture, with it in the middle.
  approach() {
    const axes = [this.rowAxis, this.columnAxis];
    const size = this.data.voxel_size_nm;
    const whole = this.sizeNm();
    const zooms = axes.map((axis, i) => whole[i] / (3 * (this.at.stop_zyx[axis] - this.at.start_zyx[axis]) * size[axis]));
    this.zoom = Math.max(1, Math.min(MOST_ZOOM, ...zooms));
    if (this.zoom === 1) return;
    this.pan = axes.map((axis, i) => whole[i] / 2 - (this.at.centre_zyx[axis] + 0.5) * size[axis]).reverse();
  }

  magnify(factor) {
    this.zoom = Math.max(1, Math.min(MOST_ZOOM, this.zoom * factor));
    if (this.zoom === 1) this.pan = [0, 0];
    this.paint();
  }

  listen(canvas) {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
    const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 };
    canvas.onkeydown = (event) => {
      if (event.key in steps) this.go(this.positions[this.axis] + steps[event.key]);
      else if (event.key in zooms) this.magnify(zooms[event.key]);
      else if (event.key === "c") this.part("alone").click();
      else return;
      event.preventDefault();
    };
    canvas.ondblclick = () => {
      this.reset();
      this.paint();
    };
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.onpointerdown = (event) => canvas.setPointerCapture(event.pointerId);
    canvas.onpointermove = (event) => (event.buttons ? this.drag(event) : this.tell(event));
    canvas.onpointerleave = () => (this.part("readout").textContent = "");
  }

  // Zoom, but leave the wheel to the page unless the user means the picture.
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.magnify(event.deltaY < 0 ? 1.2 : 1 / 1.2);
  }

  drag(event) {
    if (this.zoom === 1) return;
    this.pan[0] += (event.movementX * devicePixelRatio) / this.scale;
    this.pan[1] += (event.movementY * devicePixelRatio) / this.scale;
    this.paint();
  }

  // What lies below the pointer: its position and class.
  tell(event) {
    if (!this.slice) return;
    const { width, height, data } = this.slice;
    const [left, top] = this.corner();
    const [heightNm, widthNm] = this.sizeNm();
    const column = Math.floor(((event.offsetX * devicePixelRatio - left) / (widthNm * this.scale)) * width);
    const row = Math.floor(((event.offsetY * devicePixelRatio - top) / (heightNm * this.scale)) * height);
    const inside = column >= 0 && row >= 0 && column < width && row < height;
    const number = inside ? data[4 * (row * width + column) + 1] : 0;
    this.part("readout").textContent = number ? this.data.classes[number - 1].name : "";
  }
}

async function load(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw Object.assign(new Error(`HTTP ${answer.status}`), { refused: answer.status < 500 });
  const exact = { colorSpaceConversion: "none", premultiplyAlpha: "none" }; // these are numbers, not colours
  const bitmap = await createImageBitmap(await answer.blob(), exact);
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}

function classRow({ name, color }) {
  const row = document.createElement("label");
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
  swatch.style.background = color;
  const called = Object.assign(document.createElement("span"), { className: "called", textContent: name });
  row.append(box, swatch, called);
  return row;
}

function rgb(color) {
  return [1, 3, 5].map((start) => parseInt(color.slice(start, start + 2), 16));
}
