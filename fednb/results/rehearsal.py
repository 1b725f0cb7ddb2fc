"""What a dry run on mock data showed: outputs as they leave, and what a run costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fednb.display import html, text
from fednb.display.hooks import Shown

if TYPE_CHECKING:
    from fednb.display.html import Html

_HEADERS: Final = (
    *("step", "output", "kind", "shape", "type", "bytes", "releases"),
    "sample of the mock",
)
PREDICTION: Final = (
    "A prediction from a dry run on the mock, on this machine: one round of each "
    "training, scaled to all rounds and patients. A real run may differ."
)
SAMPLES: Final = (
    "What leaves in a dry run on the mock. Samples are cut; what is hidden by a sum or "
    "sealed looks like noise to everybody who reads it alone."
)


@dataclass(frozen=True)
class Rehearsed:
    """One output as it left a throw-away site in a dry run.

    Attributes
    ----------
    step, name, kind
        As in `fednb.records.contracts.OutputSpec`.
    shape, dtype
        Of a release; the largest that was seen.
    bytes
        Of a release.
    times
        How often each site released it in the dry run.
    sample
        The beginning of one release of mock data, as text.
    """

    step: int
    name: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    times: int
    sample: str

    def row(self) -> tuple[object, ...]:
        """Return the line of `Rehearsal` for this output."""
        shape = " x ".join(map(str, self.shape)) or "1"
        size = text.human_bytes(self.bytes)
        kind = (self.kind, shape, self.dtype, size, self.times)
        return (self.step, self.name, *kind, self.sample)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a whole run would cost a site: a prediction, not a promise.

    Attributes
    ----------
    seconds
        Time that the site computes.
    memory
        Peak of main memory of the process that computes, in bytes; 0: none was
        started, or the system does not tell.
    bytes_out, bytes_in
        That leave and that reach the site.
    patients, mock_patients
        To how many patients it is scaled, and how many the mock has.
    """

    seconds: float
    memory: int
    bytes_out: int
    bytes_in: int
    patients: int
    mock_patients: int

    def pairs(self) -> list[tuple[str, object]]:
        """Return the cost card as names and values."""
        memory = text.human_bytes(self.memory) if self.memory else "not measured"
        return [
            ("Time", f"about {text.human_seconds(self.seconds)}"),
            ("Main memory", memory),
            ("Leaves the site", text.human_bytes(self.bytes_out)),
            ("Reaches the site", text.human_bytes(self.bytes_in)),
            ("Patients", f"{self.patients}, of the mock {self.mock_patients}"),
        ]


@dataclass(frozen=True, repr=False)
class Rehearsal(Shown):
    """A dry run of a contract on mock data, before anybody decides.

    Attributes
    ----------
    contract
        Hash of the contract that was rehearsed.
    outputs
        Everything that left a throw-away site, in order of steps.
    cost
        Predicted for a whole run at one site.
    """

    contract: str
    outputs: tuple[Rehearsed, ...]
    cost: Cost

    def _rows(self) -> list[tuple[object, ...]]:
        return [output.row() for output in self.outputs]

    def _text(self) -> str:
        lines = [SAMPLES, text.table(_HEADERS, self._rows(), indent="  ")]
        lines += ["", "What it costs a site", text.fields(self.cost.pairs(), "  ")]
        return "\n".join([*lines, f"  {PREDICTION}"])

    def _html(self) -> Html:
        outputs = (html.element("p", SAMPLES), html.table(_HEADERS, self._rows()))
        cost = html.definition_list(self.cost.pairs())
        return html.element(
            "div",
            html.section("Dry run on the mock", *outputs),
            html.section("What it costs a site", cost, html.element("p", PREDICTION)),
        )
