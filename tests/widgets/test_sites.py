from __future__ import annotations

import time

from clinics import federate

from fednb.widgets import sites
from fednb.widgets.sites import SitesTable


def states(known) -> dict[str, str]:
    return {row["name"]: row["state"] for row in known["table"].get("rows", ())}


def test_sites_are_asked_while_the_table_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(sites, "REFRESH_SECONDS", 0.1)
    with federate(tmp_path) as fed:
        widget = SitesTable(fed)
        assert widget.table == {}
        assert widget.publisher.join(0)
        widget.comm.receive(view="shown")
        ready = {"a": "ready", "b": "ready", "c": "ready"}
        first = widget.comm.until(lambda s: states(s) == ready)["table"]
        assert all(0 < row["seen"] <= time.time() for row in first["rows"])
        fed.transport.take_down("b")
        gone = widget.comm.until(lambda s: states(s).get("b") != "ready")["table"]
        assert states({"table": gone}) == {
            "a": "ready",
            "b": "unreachable",
            "c": "ready",
        }
        later = widget.comm.until(lambda s: s["table"]["asked"] > gone["asked"])[
            "table"
        ]
        heard = {row["name"]: row["seen"] for row in later["rows"]}
        # the age of a site that is down grows from its last answer
        assert heard["b"] < gone["asked"] < heard["a"]
        fed.transport.bring_up("b")
        widget.comm.until(lambda s: states(s) == ready)
        widget.close()
        assert widget.publisher.join(60)
