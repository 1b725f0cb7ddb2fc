// A run: its curves, its sites, its newest events, and what pauses and stops it.

const WIDTH = 320;
const HEIGHT = 150;
const LEFT = 54;
const BOTTOM = 20;
const MAX_EVENTS = 8;
const CHARTS = [
  ["Loss", ["train_loss", "validation_loss"]],
  ["Validation AUC", ["validation_auc"]],
  ["Validation C", ["validation_c"]],
];
const BUTTONS = {
  created: ["pause", "stop"],
  running: ["pause", "stop"],
  paused: ["resume", "stop"],
};
const LABELS = { pause: "Pause", resume: "Resume", stop: "Stop" };

const short = (value) => Number(value.toPrecision(3)).toString();

const range = (values) => {
  const low = Math.min(...values);
  const high = Math.max(...values);
  return low < high ? [low, high] : [low - 0.5, high + 0.5];
};

// One chart: a line a metric over the rounds of the newest step that has any.
const chart = (title, names, rounds) => {
  const lines = names
    .map((name) => [name, rounds.filter((r) => Number.isFinite(r.metrics[name]))])
    .filter(([, found]) => found.length);
  if (!lines.length) return null;
  const every = lines.flatMap(([, found]) => found);
  const [x0, x1] = range(every.map((r) => r.round + 1));
  const [y0, y1] = range(lines.flatMap(([name, found]) => found.map((r) => r.metrics[name])));
  const x = (r) => LEFT + ((r.round + 1 - x0) / (x1 - x0)) * (WIDTH - LEFT - 8);
  const y = (value) => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - BOTTOM - 8);
  const plot = draw(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title} by round` },
    draw("path", { class: "axis", d: `M${LEFT} 4V${HEIGHT - BOTTOM}H${WIDTH - 4}` }),
    draw("text", { x: LEFT - 4, y: 14, "text-anchor": "end" }, short(y1)),
    draw("text", { x: LEFT - 4, y: HEIGHT - BOTTOM, "text-anchor": "end" }, short(y0)),
    draw("text", { x: WIDTH - 6, y: HEIGHT - 6, "text-anchor": "end" }, `round ${short(x1)}`),
  );
  lines.forEach(([name, found], i) => {
    const points = found.map((r) => `${x(r).toFixed(1)},${y(r.metrics[name]).toFixed(1)}`);
    const last = points.at(-1).split(",");
    plot.append(
      draw("polyline", { class: `line line${i}`, points: points.join(" ") }),
      draw("circle", { class: `dot line${i}`, cx: last[0], cy: last[1], r: 3 }),
    );
  });
  const keys = lines.map(([name, found], i) =>
    make(
      "span",
      { class: `key key${i}` },
      `${name.replaceAll("_", " ")} ${short(found.at(-1).metrics[name])}`,
    ),
  );
  return make("figure", {}, make("figcaption", {}, title, ...keys), plot);
};

const chartsOf = (events) => {
  const rounds = events.filter((e) => e.kind === "round" && Object.keys(e.metrics).length);
  const newest = rounds.filter((e) => e.step === rounds.at(-1).step);
  const known = new Set(CHARTS.flatMap(([, names]) => names));
  const others = new Set(newest.flatMap((e) => Object.keys(e.metrics)));
  const more = [...others].filter((name) => !known.has(name)).map((name) => [name, [name]]);
  return [...CHARTS, ...more].map(([title, names]) => chart(title, names, newest));
};

// Buttons; the one that stops for good asks once more.
const controls = (model, verbs) =>
  verbs.map((verb) => {
    let sure = verb !== "stop";
    const node = button(LABELS[verb], () => {
      if (sure) model.send({ verb });
      else node.textContent = "Stop for good?";
      sure = true;
    });
    node.classList.add(verb);
    return node;
  });

const headOf = (state) => {
  const old = !state.final && state.asked && seconds(state.asked) > STALE_SECONDS;
  const status = old ? `last known: ${state.status}` : state.status;
  const where = state.rounds
    ? `step ${state.step} of ${state.steps}, round ${state.round} of at most ${state.rounds}`
    : "";
  const heard = state.asked && !state.final ? `asked ${age(state.asked)}` : state.updated;
  return [
    badge(status, old ? "" : undefined),
    make("code", {}, state.run),
    make("span", {}, where),
    make("span", { class: "muted" }, heard ?? ""),
  ];
};

const lineOf = (event) => {
  const time = new Date(event.time * 1000).toLocaleTimeString();
  const round = event.kind === "round" ? ` ${event.round + 1}` : "";
  return make("li", {}, `${time} ${event.kind}${round} ${event.text}`);
};

function render({ model, el }) {
  const events = [];
  let state = model.get("state");
  const head = make("div", { class: "heading" });
  const tools = make("div", { class: "tools" });
  const fault = make("p", { class: "notice" });
  const charts = make("div", { class: "charts" });
  const sites = make("div");
  const log = make("ul", { class: "muted" });
  const [notice, notify] = noticeOf(model);

  const tick = () => {
    head.replaceChildren(...headOf(state));
    const rows = state.sites.map((site) => [site.name, site.state, age(site.seen)]);
    sites.replaceChildren(rows.length ? table(["datasite", "state", "last heard"], rows) : "");
  };
  let offered = "";
  const update = (newest) => {
    state = newest;
    fault.textContent = state.fault ?? "";
    const verbs = BUTTONS[state.status] ?? [];
    // the same buttons stay, so that a question that was asked stands
    if (offered !== verbs.join()) tools.replaceChildren(...controls(model, verbs));
    offered = verbs.join();
    tick();
  };
  const plot = () => {
    const shown = events.some((e) => e.kind === "round" && Object.keys(e.metrics).length);
    charts.replaceChildren(...(shown ? chartsOf(events).filter(Boolean) : []));
    log.replaceChildren(...events.slice(-MAX_EVENTS).reverse().map(lineOf));
    el.dataset.events = events.length;
  };
  // sequence numbers have no gaps, and a delta begins where the synced history ends
  const take = (found) => {
    const next = found.filter((event) => event.seq > events.length);
    if (next.length && next[0].seq === events.length + 1) {
      events.push(...next);
      plot();
    }
  };
  const history = () => take(model.get("history"));
  const message = (content) => {
    update(content.state);
    take(content.events);
  };
  const synced = () => update(model.get("state"));

  update(state);
  plot();
  history();
  const changes = {
    "change:state": synced,
    "change:history": history,
    "change:notice": notify,
    "msg:custom": message,
  };
  return live({ model, el }, [head, tools, notice, fault, charts, sites, log], changes, tick);
}

export default { render };
