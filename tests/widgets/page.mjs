// A page that only remembers: enough of a DOM for our widgets, and no browser.
// Usage: node page.mjs MODULE < script.json; prints what was shown and sent.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const markup = [];

class Text {
  constructor(text) {
    this.text = String(text);
  }
  get textContent() {
    return this.text;
  }
}

class Element {
  constructor(tag) {
    this.tag = tag;
    this.attributes = {};
    this.nodes = [];
    this.listeners = {};
    this.dataset = {};
    this.value = "";
    this.classList = { add: (name) => (this.attributes.class = name) };
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
  }
  addEventListener(name, listener) {
    this.listeners[name] = listener;
  }
  append(...nodes) {
    for (const node of nodes) {
      this.nodes.push(node instanceof Element ? node : new Text(node));
      if (node instanceof Element) node.parent = this;
    }
  }
  replaceChildren(...nodes) {
    this.nodes = [];
    this.append(...nodes);
  }
  remove() {
    this.parent.nodes = this.parent.nodes.filter((node) => node !== this);
  }
  get children() {
    return this.nodes.filter((node) => node instanceof Element);
  }
  get lastChild() {
    return this.nodes.at(-1);
  }
  get textContent() {
    return this.nodes.map((node) => node.textContent).join(" ");
  }
  set textContent(text) {
    this.nodes = text === "" ? [] : [new Text(text)];
  }
  set innerHTML(html) {
    markup.push(html);
  }
  find(match) {
    if (match(this)) return [this];
    return this.children.flatMap((child) => child.find(match));
  }
}

globalThis.document = {
  createElement: (tag) => new Element(tag),
  createElementNS: (_, tag) => new Element(tag),
};
const timers = new Set();
globalThis.setInterval = (call, ms) => (timers.add(ms), ms);
globalThis.clearInterval = (ms) => timers.delete(ms);

const { state, script } = JSON.parse(readFileSync(0, "utf8"));
const listeners = {};
const sent = [];
const model = {
  get: (name) => state[name],
  send: (content) => sent.push(content),
  on: (name, call) => (listeners[name] = call),
  off: (name) => delete listeners[name],
};
const el = new Element("div");
const widget = (await import(pathToFileURL(process.argv[2]))).default;
const clean = widget.render({ model, el });

const shots = [];
const acts = {
  set: ({ name, value }) => {
    state[name] = value;
    listeners[`change:${name}`]();
  },
  message: ({ content }) => listeners["msg:custom"](content),
  type: ({ words, at }) => {
    const input = el.find((node) => node.tag === "input")[at ?? 0];
    input.value = words;
    input.listeners.input();
  },
  click: ({ label }) => {
    const [node] = el.find((n) => n.tag === "button" && n.textContent.startsWith(label));
    if (!node.disabled) node.listeners.click();
  },
  look: () =>
    shots.push({
      text: el.textContent,
      events: el.dataset.events,
      lines: el.find((n) => n.tag === "polyline").map((n) => n.attributes.points),
      buttons: el
        .find((n) => n.tag === "button")
        .map((n) => [n.textContent, Boolean(n.disabled)]),
      words: el.find((n) => n.tag === "input").map((n) => n.value),
    }),
};
for (const act of script) acts[act.do](act);
clean();
console.log(
  JSON.stringify({ shots, sent, markup, left: [el.nodes.length, timers.size, Object.keys(listeners).length] }),
);
