// Sites with their state and the age of their last answer.

const COLUMNS = ["datasite", "state", "last heard"];

function render({ model, el }) {
  const body = make("div");
  const [notice, notify] = noticeOf(model);
  const update = () => {
    const { rows, asked } = model.get("table");
    if (!rows) {
      body.replaceChildren(make("p", { class: "muted" }, "The sites are being asked."));
      return;
    }
    const stale = seconds(asked) > STALE_SECONDS;
    const shown = rows.map((row) => [
      row.name,
      badge(stale ? `last known: ${row.state}` : row.state, stale ? "" : undefined),
      age(row.seen),
    ]);
    body.replaceChildren(table(COLUMNS, shown));
  };
  update();
  const changes = { "change:table": update, "change:notice": notify };
  return live({ model, el }, [body, notice], changes, update);
}

export default { render };
