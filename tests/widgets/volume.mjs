// A page that only remembers, for `VolumeViewer`: canvases, one server, one 3D engine.
// Usage: node volume.mjs MODULE < case.json; prints what was shown and asked for.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const given = JSON.parse(readFileSync(0, "utf8"));
const seen = { markup: [], asked: [], scripts: [], images: [], pictures: [], lost: 0, errors: [] };

class Element {
  constructor(tag) {
    Object.assign(this, { tag, attributes: {}, nodes: [], listeners: {}, value: "" });
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
    if (name === "width" || name === "height") this[name] = Number(value);
  }
  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }
  append(...nodes) {
    this.nodes.push(...nodes);
    for (const node of nodes) if (node instanceof Element) node.parent = this;
    if (this.tag === "head") serve(nodes[0]);
  }
  replaceChildren(...nodes) {
    this.nodes = [];
    this.append(...nodes);
  }
  remove() {
    this.parent.nodes = this.parent.nodes.filter((node) => node !== this);
  }
  getContext(kind) {
    if (kind === "2d") {
      return {
        putImageData: ({ data }, x, y) => seen.pictures.push([this.width, this.height, [...data], x, y]),
        drawImage() {},
        fillRect() {},
      };
    }
    const loseContext = () => (seen.lost += 1);
    return given.webgl ? { getExtension: () => ({ loseContext }), getParameter: () => given.webgl } : null;
  }
  getBoundingClientRect() {
    return { left: 0, top: 0, width: this.width, height: this.height };
  }
  querySelectorAll(tag) {
    return this.find((node) => node.tag === tag);
  }
  set textContent(text) {
    this.nodes = text === "" ? [] : [String(text)];
  }
  get textContent() {
    return this.nodes.map((node) => node.textContent ?? String(node)).join(" ");
  }
  set innerHTML(html) {
    seen.markup.push(html);
  }
  find(match) {
    const below = this.nodes.filter((node) => node instanceof Element);
    return [...(match(this) ? [this] : []), ...below.flatMap((node) => node.find(match))];
  }
}

const engine = {
  createViewer: async (stage, { image }) => {
    if (given.engine === "fails") throw new Error("no");
    stage.append(new Element("canvas"));
    seen.images.push(image);
    return { setImage: async (next) => seen.images.push(next) };
  },
};

// what a browser does with a script that was put into the page
const serve = (script) => {
  seen.scripts.push([script.attributes.src, typeof globalThis.define]);
  if (given.engine) globalThis.itkVtkViewer = engine;
  setImmediate(script.listeners[given.engine ? "load" : "error"]);
};

const config = given.config && { textContent: JSON.stringify({ baseUrl: given.config }) };
globalThis.window = globalThis;
globalThis.define = () => {};
globalThis.document = {
  head: new Element("head"),
  createElement: (tag) => new Element(tag),
  getElementById: () => config ?? null,
};
globalThis.getComputedStyle = () => ({ color: "" });
globalThis.ImageData = class {
  constructor(width, height) {
    this.data = new Uint8ClampedArray(4 * width * height);
  }
};
globalThis.fetch = async (address, { method }) => {
  seen.asked.push([method, address]);
  if (given.type === "down") throw new TypeError("Failed to fetch");
  return { ok: Boolean(given.type), headers: new Map([["content-type", given.type]]) };
};
process.on("unhandledRejection", (error) => seen.errors.push(String(error)));

const state = { ...given.state };
// bytes come in the middle of a message, wherever that is
state.channels = state.channels.map((channel) => {
  const bytes = Uint8Array.from([9, ...Buffer.from(channel.data, "base64")]);
  return { ...channel, data: new DataView(bytes.buffer, 1) };
});
const el = new Element("div");
const widget = (await import(pathToFileURL(process.argv[2]))).default;
const settle = async () => {
  for (let i = 0; i < 10; i += 1) await new Promise(setImmediate);
};
const clean = widget.render({ model: { get: (name) => state[name] }, el });
if (given.early) clean();
await settle();

const byLabel = (label) => el.find((node) => node.attributes["aria-label"]?.startsWith(label))[0];
const shots = [];
const acts = {
  slide: ({ label, value }) => {
    const node = byLabel(label);
    node.value = String(value);
    node.listeners.input();
  },
  choose: ({ value }) => {
    const node = byLabel("modality");
    node.value = String(value);
    node.listeners.change();
  },
  press: ({ label }) => el.find((n) => n.tag === "button" && n.textContent === label)[0].listeners.click(),
  key: ({ label, key }) => byLabel(label).listeners.keydown({ key, preventDefault() {} }),
  click: ({ label, at }) => byLabel(label).listeners.click({ clientX: at[0], clientY: at[1] }),
  look: () => {
    const root = el.nodes[0];
    shots.push({
      text: root?.textContent.split(/\s+/).join(" ").trim(),
      shown: root?.attributes["data-shown"],
      labels: el.find((node) => node.attributes["aria-label"]).map((node) => node.attributes["aria-label"]),
      values: el.find((node) => node.tag === "input").map((node) => Number(node.value)),
      sizes: el.find((node) => node.tag === "canvas").map((node) => [node.width, node.height]),
      pictures: seen.pictures.splice(0).slice(-3),
    });
  },
};
for (const act of given.script ?? []) {
  acts[act.do](act);
  await settle();
}
if (!given.early) clean();
const images = seen.images.map((image) => ({ ...image, data: [...image.data], direction: [...image.direction] }));
const left = [el.nodes.length, document.head.nodes.length, typeof globalThis.define];
console.log(JSON.stringify({ ...seen, shots, images, left }));
