// Three planes through a volume, on canvases: needs no WebGL and no other file.

// Which axis a plane cuts, and which axes run to the right and upwards in it (RAS).
const PLANES = [
  { name: "sagittal", axis: 0, right: 1, up: 2, ends: ["P", "A", "I", "S"] },
  { name: "coronal", axis: 1, right: 0, up: 2, ends: ["L", "R", "I", "S"] },
  { name: "axial", axis: 2, right: 0, up: 1, ends: ["L", "R", "P", "A"] },
];
const AXES = ["X", "Y", "Z"];
const SCREEN = 260; // pixels along the longer side of a plane
const STEPS = 200; // of the sliders for grey values

// Voxels in their own units, X fastest, whichever way they came.
const voxelsOf = (channel) => {
  const { buffer, byteOffset, byteLength } = channel.data;
  if (channel.bits === 32) return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const scale = (channel.high - channel.low) / 255;
  const levels = new Uint8Array(buffer, byteOffset, byteLength);
  return Float32Array.from(levels, (level) => channel.low + level * scale);
};

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const offsetOf = ([nx, ny], [x, y, z]) => x + nx * (y + ny * z);

// One plane through `point`, the uppermost row first, as grey levels 0 to 255.
const greyOf = (voxels, shape, plane, point, [low, high]) => {
  const [width, height] = [shape[plane.right], shape[plane.up]];
  const grey = new Uint8ClampedArray(width * height);
  const scale = 255 / (high - low || 1);
  const at = [...point];
  for (let row = 0; row < height; row += 1) {
    at[plane.up] = height - 1 - row;
    for (let column = 0; column < width; column += 1) {
      at[plane.right] = column;
      grey[row * width + column] = (voxels[offsetOf(shape, at)] - low) * scale;
    }
  }
  return { width, height, grey };
};

// Size of a plane on the screen, in proportion to its millimetres.
const sizeOf = (shape, spacing, plane) => {
  const width = shape[plane.right] * spacing[plane.right];
  const height = shape[plane.up] * spacing[plane.up];
  const scale = SCREEN / Math.max(width, height);
  return [width, height].map((size) => Math.max(Math.round(size * scale), 1));
};

// The voxel of a plane that a place on its picture shows; both from 0 to 1.
const pointAt = (shape, plane, point, across, down) => {
  const found = [...point];
  const cell = (part, size) => clamp(Math.floor(part * size), 0, size - 1);
  found[plane.right] = cell(across, shape[plane.right]);
  found[plane.up] = cell(1 - down, shape[plane.up]);
  return found;
};

const KEYS = {
  ArrowLeft: ["right", -1],
  ArrowRight: ["right", 1],
  ArrowDown: ["up", -1],
  ArrowUp: ["up", 1],
  PageDown: ["axis", -1],
  PageUp: ["axis", 1],
};

// Where a key leads from a point, or null for a key that leads nowhere.
const moved = (shape, plane, point, key) => {
  if (!KEYS[key]) return null;
  const [direction, step] = KEYS[key];
  const found = [...point];
  const axis = plane[direction];
  found[axis] = clamp(found[axis] + step, 0, shape[axis] - 1);
  return found;
};

const slider = (label, max, onInput) => {
  const node = make("input", { type: "range", min: 0, max, "aria-label": label });
  node.addEventListener("input", () => onInput(Number(node.value)));
  return node;
};

const labelled = (text, node) => make("label", {}, make("span", {}, text), node);

const paint = (canvas, { width, height, grey }, [across, down]) => {
  const small = make("canvas", { width, height });
  const picture = new ImageData(width, height);
  grey.forEach((level, i) => picture.data.set([level, level, level, 255], 4 * i));
  small.getContext("2d").putImageData(picture, 0, 0);
  const context = canvas.getContext("2d");
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(Math.round(across * canvas.width), 0, 1, canvas.height);
  context.fillRect(0, Math.round(down * canvas.height), canvas.width, 1);
};

// One plane: its picture, its slider; `view` is shared by the three.
const planeOf = (view, plane, changed) => {
  const { shape, spacing } = view;
  const [width, height] = sizeOf(shape, spacing, plane);
  const keys = "arrow keys move in the plane, page keys through it";
  const canvas = make("canvas", { width, height, tabindex: 0, role: "application" });
  const move = (point) => {
    view.point = point;
    changed();
  };
  canvas.addEventListener("click", (event) => {
    const { left, top, width: w, height: h } = canvas.getBoundingClientRect();
    const place = [(event.clientX - left) / w, (event.clientY - top) / h];
    move(pointAt(shape, plane, view.point, ...place));
  });
  canvas.addEventListener("keydown", (event) => {
    const found = moved(shape, plane, view.point, event.key);
    if (!found) return;
    event.preventDefault();
    move(found);
  });
  const through = slider(`${plane.name} slice`, shape[plane.axis] - 1, (value) =>
    move(view.point.map((old, axis) => (axis === plane.axis ? value : old))),
  );
  const caption = make("figcaption");
  const show = () => {
    const place = `slice ${view.point[plane.axis] + 1} of ${shape[plane.axis]}`;
    caption.textContent = `${plane.name}, ${place}`;
    canvas.setAttribute("aria-label", `${plane.name} plane, ${place}; ${keys}`);
    through.value = view.point[plane.axis];
    const middle = (axis) => (view.point[axis] + 0.5) / shape[axis];
    const cross = [middle(plane.right), 1 - middle(plane.up)];
    paint(canvas, greyOf(view.voxels, shape, plane, view.point, view.range), cross);
  };
  const [w, e, s, n] = plane.ends;
  const hint = make("span", { class: "muted" }, `${w}–${e}, ${s}–${n}`);
  return { node: make("figure", {}, caption, canvas, through, hint), show };
};

// Brightness as radiologists set it: the middle of what is grey, and how wide that is.
const windowOf = (view, changed) => {
  const controls = ["level", "window"].map((name) => {
    const node = slider(`grey ${name}`, STEPS, () => {
      const span = view.high - view.low || 1;
      const level = view.low + (span * controls[0].value) / STEPS;
      const width = (span * Math.max(controls[1].value, 1)) / STEPS;
      view.range = [level - width / 2, level + width / 2];
      changed();
    });
    return node;
  });
  const show = () => {
    const span = view.high - view.low || 1;
    const [low, high] = view.range;
    controls[0].value = Math.round((STEPS * ((low + high) / 2 - view.low)) / span);
    controls[1].value = Math.round((STEPS * (high - low)) / span);
  };
  const labels = ["Level", "Window"].map((word, i) => labelled(word, controls[i]));
  return { node: make("div", { class: "tools" }, ...labels), show };
};

// The planes of a volume; `show` draws another channel at the same place.
const slicesOf = (shape, spacing) => {
  const view = { shape, spacing, point: shape.map((size) => Math.floor(size / 2)) };
  const value = make("output", { class: "muted" });
  const draw = () => {
    parts.forEach((part) => part.show());
    const where = AXES.map((axis, i) => `${axis} ${view.point[i]}`).join(", ");
    const found = view.voxels[offsetOf(shape, view.point)];
    value.textContent = `${where}: ${Number(found.toPrecision(4))}`;
  };
  const grey = windowOf(view, draw);
  const parts = PLANES.map((plane) => planeOf(view, plane, draw));
  const show = (channel) => {
    view.voxels = voxelsOf(channel);
    view.range = channel.shown;
    [view.low, view.high] = [channel.low, channel.high];
    grey.show();
    draw();
  };
  const planes = make("div", { class: "charts planes" }, ...parts.map((part) => part.node));
  return { node: make("div", { class: "fednb-live" }, planes, grey.node, value), show };
};
