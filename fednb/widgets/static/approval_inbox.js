// Contracts of a site, each in full, with what its owner can decide.

const WORDS = {
  approve: ["Approve", "note", "Note for your own records"],
  deny: ["Deny", "reason", "Reason, for your own records"],
  revoke: ["Revoke", "reason", "Reason, for your own records"],
};

// One decision: its words, and a button that stays off while a reason is missing.
const decision = (model, row, verb) => {
  const [label, field, hint] = WORDS[verb];
  const words = make("input", { type: "text", placeholder: hint, "aria-label": hint });
  const send = button(label, () => {
    model.send({ verb, hash: row.hash, [field]: words.value });
  });
  send.classList.add(verb);
  const check = () => {
    send.disabled = field === "reason" && !words.value.trim();
  };
  words.addEventListener("input", check);
  check();
  return make("div", { class: "decision" }, words, send);
};

const card = (model, row, open) => {
  const page = make("div", { class: "page" });
  // built and escaped by fednb.display in Python: the only markup that is taken over
  page.innerHTML = row.page;
  const summary = make(
    "summary",
    {},
    badge(row.status),
    make("strong", {}, row.requester),
    make("span", {}, row.dataset),
    make("span", { class: "muted purpose" }, row.purpose),
    make("span", { class: "muted" }, row.received),
    // the page lists every change; a closed card tells how many there are
    make("span", { class: "muted changes" }, row.changes?.[0] ?? ""),
  );
  const decisions = row.verbs.map((verb) => decision(model, row, verb));
  const node = make("details", { "data-hash": row.hash }, summary, page, ...decisions);
  node.open = open;
  return node;
};

function render({ model, el }) {
  const heading = make("p", { class: "heading" });
  const list = make("div");
  const [notice, notify] = noticeOf(model);
  const cards = new Map();
  const update = () => {
    const rows = model.get("requests");
    const waiting = rows.filter((row) => row.status === "pending").length;
    const site = model.get("site");
    heading.textContent = `${site ? `${site}: ` : ""}${waiting} waiting for a decision`;
    const fresh = rows.map((row) => {
      const known = cards.get(row.hash);
      // a card that did not change keeps what the owner is typing
      if (known?.status === row.status) return known.node;
      const node = card(model, row, known ? known.node.open : row.status === "pending");
      cards.set(row.hash, { status: row.status, node });
      return node;
    });
    const rest = model.get("rest");
    const more = make("p", { class: "muted" }, `… and ${rest} more`);
    const wanted = [...fresh, ...(rest ? [more] : [])];
    if (wanted.some((node, i) => list.children[i] !== node)) list.replaceChildren(...wanted);
    while (list.children.length > wanted.length) list.lastChild.remove();
  };
  update();
  const changes = {
    "change:requests": update,
    "change:rest": update,
    "change:notice": notify,
  };
  return live({ model, el }, [heading, notice, list], changes);
}

export default { render };
