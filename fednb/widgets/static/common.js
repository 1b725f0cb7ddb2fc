// What every widget shares. Words of another party become text nodes, never markup.

const SVG = "http://www.w3.org/2000/svg";
const RENEW_MS = 30_000; // tells Python that the view is still there
const STALE_SECONDS = 15; // older than this is not shown as live

const fill = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== "") node.setAttribute(name, value);
  }
  node.append(...children.map((child) => child ?? ""));
  return node;
};

const make = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

const button = (label, onClick) => {
  const node = make("button", { type: "button" }, label);
  node.addEventListener("click", onClick);
  return node;
};

const TONES = {
  approved: "good", completed: "good", ready: "good",
  denied: "bad", failed: "bad", revoked: "bad", expired: "bad", stopped: "bad",
  unreachable: "bad",
  pending: "wait", working: "wait", running: "wait", paused: "wait", stopping: "wait",
};

const badge = (status, tone = TONES[status] ?? "") =>
  make("span", { class: `badge ${tone}` }, status);

const seconds = (since) => Math.max(Date.now() / 1000 - since, 0);

const age = (since) => {
  if (!since) return "never";
  const passed = Math.floor(seconds(since));
  if (passed < 60) return `${passed} s ago`;
  if (passed < 3600) return `${Math.floor(passed / 60)} min ago`;
  if (passed < 172_800) return `${Math.floor(passed / 3600)} h ago`;
  return `${Math.floor(passed / 86_400)} days ago`;
};

const table = (headers, rows) =>
  make(
    "table",
    {},
    make("thead", {}, make("tr", {}, ...headers.map((h) => make("th", { scope: "col" }, h)))),
    make(
      "tbody",
      {},
      ...rows.map((row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell)))),
    ),
  );

// Shows a widget: `update` on every change, `tick` each second; returns the clean-up.
const live = ({ model, el }, parts, changes, tick = () => {}) => {
  const root = make("div", { class: "fednb-live" }, ...parts);
  el.append(root);
  const here = () => model.send({ view: "shown" });
  const timers = [setInterval(tick, 1000), setInterval(here, RENEW_MS)];
  for (const [event, update] of Object.entries(changes)) model.on(event, update);
  here();
  return () => {
    timers.forEach(clearInterval);
    for (const [event, update] of Object.entries(changes)) model.off(event, update);
    root.remove();
  };
};

const noticeOf = (model) => {
  const node = make("p", { class: "notice", role: "alert" });
  const update = () => {
    node.textContent = model.get("notice");
  };
  update();
  return [node, update];
};
