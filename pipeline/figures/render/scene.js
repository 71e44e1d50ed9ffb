"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const view = document.getElementById("view");
  const state = document.getElementById("state");
  const [width, height, depth] = data.size;
  const longest = Math.max(...data.size);
  const START = { x: 0.85, y: -0.72, z: -1.5 };
  const VIEWS = { oblique: START, front: { x: 0, y: 0, z: -1.8 }, top: { x: 0, y: -1.8, z: 0 }, side: { x: -1.8, y: 0, z: 0 } };
  const UP = { x: 0, y: -1, z: 0 }; // y points down, as in an image

  // -- unpacking ------------------------------------------------------------------------------------------------

  async function inflated(text, itemBytes) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const count = planes.length / itemBytes;
    const bytes = new Uint8Array(planes.length);
    for (let plane = 0; plane < itemBytes; plane++) {
      for (let i = 0; i < count; i++) bytes[i * itemBytes + plane] = planes[plane * count + i];
    }
    return bytes.buffer;
  }

  async function unpacked(surface) {
    const steps = new Uint16Array(await inflated(surface.points, 2));
    const count = steps.length / 3;
    const axes = data.size.map((side, axis) => {
      const values = new Float32Array(count);
      for (let i = 0; i < count; i++) values[i] = (steps[axis * count + i] / 65535) * side;
      return values;
    });
    const differences = new Int32Array(await inflated(surface.corners, 4));
    const corners = [0, 1, 2].map(() => new Int32Array(differences.length / 3));
    for (let i = 0, last = 0; i < differences.length; i++) {
      last += differences[i];
      corners[i % 3][Math.floor(i / 3)] = last;
    }
    return { axes, corners };
  }

  // -- traces ---------------------------------------------------------------------------------------------------

  // A pattern is bought with intensities along the body diagonal, looked up in bands of two colours.
  function bands(surface) {
    return Array.from({ length: data.bands }, (_, band) => {
      const color = band % 2 ? surface.band : surface.color;
      return [[band / data.bands, color], [(band + 1) / data.bands, color]];
    }).flat();
  }

  async function trace(surface) {
    const { axes: [x, y, z], corners: [i, j, k] } = await unpacked(surface);
    const mesh = {
      type: "mesh3d", x, y, z, i, j, k,
      name: surface.name, visible: surface.shown, opacity: surface.opacity,
      hoverinfo: "skip", showscale: false, flatshading: false,
      lighting: { ambient: 0.55, diffuse: 0.65, specular: 0.12, roughness: 0.6, fresnel: 0.08 },
      lightposition: { x: 4e4, y: -8e4, z: -1e5 },
    };
    if (surface.band === surface.color) return { ...mesh, color: surface.color };
    const intensity = x.map((value, at) => value + y[at] + z[at]);
    return { ...mesh, intensity, cmin: 0, cmax: width + height + depth, colorscale: bands(surface) };
  }

  function frame() {
    const [x, y, z] = [[], [], []];
    const edge = (...ends) => ends.forEach((end) => [x, y, z].forEach((axis, at) => axis.push(end ? end[at] : null)));
    for (const a of [0, 1]) {
      for (const b of [0, 1]) {
        edge([0, a * height, b * depth], [width, a * height, b * depth], null);
        edge([a * width, 0, b * depth], [a * width, height, b * depth], null);
        edge([a * width, b * height, 0], [a * width, b * height, depth], null);
      }
    }
    return { type: "scatter3d", mode: "lines", x, y, z, line: { width: 1.5 }, hoverinfo: "skip", showlegend: false };
  }

  function scaleBar() {
    const below = height + 0.035 * longest;
    return {
      type: "scatter3d", mode: "lines+text", hoverinfo: "skip", showlegend: false,
      x: [0, data.bar.length / 2, data.bar.length], y: [below, below, below], z: [0, 0, 0],
      text: ["", data.bar.text, ""], textposition: "bottom center", line: { width: 7 },
    };
  }

  // -- camera ---------------------------------------------------------------------------------------------------

  const camera = () => view.layout.scene.camera;
  const look = (eye) => Plotly.relayout(view, { "scene.camera.eye": eye, "scene.camera.up": UP, "scene.camera.center": { x: 0, y: 0, z: 0 } });

  function zoom(factor) {
    const { x, y, z } = camera().eye;
    Plotly.relayout(view, { "scene.camera.eye": { x: x * factor, y: y * factor, z: z * factor } });
  }

  // Turns the eye about the vertical axis, and lifts it short of the poles, where up and down would change places.
  function turn(right, down) {
    const { x, y, z } = camera().eye;
    const radius = Math.hypot(x, y, z);
    const around = Math.atan2(x, -z) + (right * Math.PI) / 12;
    const lift = Math.min(Math.max(Math.asin(-y / radius) - (down * Math.PI) / 12, -1.5), 1.5);
    look({
      x: radius * Math.cos(lift) * Math.sin(around), y: -radius * Math.sin(lift), z: -radius * Math.cos(lift) * Math.cos(around),
    });
  }

  const KEYS = {
    ArrowLeft: () => turn(-1, 0), ArrowRight: () => turn(1, 0), ArrowUp: () => turn(0, -1), ArrowDown: () => turn(0, 1),
    "+": () => zoom(0.8), "=": () => zoom(0.8), "-": () => zoom(1.25), 0: () => look(START),
  };

  function listen() {
    for (const button of document.querySelectorAll("#buttons button")) {
      const { turn: by, zoom: factor, view: name } = button.dataset;
      button.addEventListener("click", () => (by ? turn(...by.split(",").map(Number)) : factor ? zoom(Number(factor)) : look(VIEWS[name])));
    }
    view.addEventListener("keydown", (event) => {
      if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      KEYS[event.key]();
    });
  }

  // -- legend ---------------------------------------------------------------------------------------------------

  const boxes = [];
  const groupBoxes = new Map(); // of a group's surfaces together: by their indices

  function show(indices, shown) {
    indices.forEach((index) => { boxes[index].checked = shown; });
    Plotly.restyle(view, { visible: shown }, indices);
    summarise();
  }

  function summarise() {
    for (const [indices, box] of groupBoxes) {
      const shown = indices.filter((index) => boxes[index].checked).length;
      box.checked = shown === indices.length;
      box.indeterminate = shown > 0 && !box.checked;
    }
  }

  function item(surface, index) {
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: surface.shown });
    const swatch = Object.assign(document.createElement("span"), { className: "swatch" });
    const count = Object.assign(document.createElement("span"), { className: "count", textContent: surface.voxels.toLocaleString("en") });
    swatch.style.background = `repeating-linear-gradient(135deg, ${surface.color} 0 4px, ${surface.band} 4px 8px)`;
    count.title = "voxels";
    box.addEventListener("change", () => show([index], box.checked));
    boxes[index] = box;
    label.append(box, swatch, surface.name, count);
    return label;
  }

  function heading(group, indices) {
    const made = document.createElement("legend");
    if (!group) {
      made.textContent = "Classes (voxels)";
      return made;
    }
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", title: `All of ${group}` });
    box.addEventListener("change", () => show(indices, box.checked));
    groupBoxes.set(indices, box);
    label.append(box, group);
    made.append(label);
    return made;
  }

  function button(text, action) {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: text });
    made.addEventListener("click", action);
    return made;
  }

  function legend() {
    const groups = new Map();
    data.surfaces.forEach((surface, index) => groups.set(surface.group, [...(groups.get(surface.group) || []), index]));
    const all = data.surfaces.map((_, index) => index);
    const row = Object.assign(document.createElement("div"), { className: "row" });
    row.append(button("Show all", () => show(all, true)), button("Hide all", () => show(all, false)));
    const place = document.getElementById("legend");
    place.append(row);
    for (const [group, indices] of groups) {
      const set = document.createElement("fieldset");
      set.append(heading(group, indices), ...indices.map((index) => item(data.surfaces[index], index)));
      if (group) set.className = "grouped";
      place.append(set);
    }
    summarise();
  }

  // -- light and dark -------------------------------------------------------------------------------------------

  function theme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.getElementById("theme").setAttribute("aria-pressed", String(dark));
    const css = getComputedStyle(document.documentElement);
    const [ink, line] = ["--ink", "--faint"].map((name) => css.getPropertyValue(name).trim());
    const first = data.surfaces.length;
    if (view.data) Plotly.restyle(view, { "line.color": [line, ink], "textfont.color": [ink, ink] }, [first, first + 1]);
  }

  function followTheme() {
    const wanted = matchMedia("(prefers-color-scheme: dark)");
    wanted.addEventListener("change", () => theme(wanted.matches));
    document.getElementById("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
    theme(wanted.matches);
  }

  // -- page -----------------------------------------------------------------------------------------------------

  function axis(side) {
    const margin = 0.08 * longest;
    return { visible: false, range: [-margin, side + margin], autorange: false };
  }

  async function draw() {
    const traces = await Promise.all(data.surfaces.map(trace));
    const sides = data.size.map((side) => side + 0.16 * longest);
    const unit = 1.3 / Math.max(...sides);
    const layout = {
      margin: { l: 0, r: 0, t: 0, b: 0 }, showlegend: false, paper_bgcolor: "rgba(0,0,0,0)",
      scene: {
        xaxis: axis(width), yaxis: axis(height), zaxis: axis(depth), aspectmode: "manual",
        aspectratio: { x: sides[0] * unit, y: sides[1] * unit, z: sides[2] * unit },
        camera: { eye: START, up: UP, projection: { type: "perspective" } }, dragmode: "orbit",
      },
    };
    await Plotly.newPlot(view, [...traces, frame(), scaleBar()], layout, { responsive: true, displayModeBar: false });
  }

  view.setAttribute("aria-label", `${document.title}: ${data.surfaces.length} surfaces that can be turned`);
  legend();
  followTheme();
  try {
    await draw();
    theme(document.documentElement.dataset.theme === "dark");
    listen();
    state.textContent = "";
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    state.textContent = `The scene could not be drawn: ${error.message}. It needs a browser with WebGL.`;
    throw error;
  }
})();
