"""`fednb demo`: the main job told step by step, with plots, a report and figures."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.errors import HomeError
from fednb.phantom.demo import DATASET, HOSPITALS, DemoSize, baselines, demo
from fednb.phantom.memory import PeakMemory
from fednb.phantom.study import (
    PURPOSE,
    Baselines,
    StudyResults,
    approve_all,
    oracle,
    read_study,
    run_baselines,
    study_plan,
    training_plan,
)
from fednb.results.comparison import ComparisonRow, ComparisonTable
from fednb.results.report import Section, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from fednb.coordinator.handles import Request
    from fednb.display.html import Html
    from fednb.embedded.federation import Federation
    from fednb.phantom.oracle import OracleCounts
    from fednb.results.statistics import StatisticsResult

ROUNDS: Final = 30
THREADS: Final = 2
_LEFT: Final = ("output", "kind", "releases", "largest")


@dataclass(frozen=True)
class Told:
    """What the demo brought.

    Attributes
    ----------
    request
        The study's contract.
    statistics
        Aggregate statistics of the three hospitals.
    study
        Results of the federated study.
    compared
        Local-only and central models.
    best
        Pair counts of the phantom's oracle.
    """

    request: Request
    statistics: StatisticsResult
    study: StudyResults
    compared: Baselines
    best: OracleCounts

    def comparison(self) -> ComparisonTable:
        """Return the federated model beside what it is held against."""
        federated, central = self.study, self.compared.central
        nan = float("nan")
        low, high = self.best.bounds()
        rows = (
            ComparisonRow(
                "federated",
                (federated.image_auc, federated.both_auc, federated.c_index),
            ),
            ComparisonRow("local-only, mean", (self.compared.local_mean, nan, nan)),
            ComparisonRow("age only", (nan, federated.age_auc, nan)),
            ComparisonRow(
                "central",
                (central.image_auc, central.both_auc, central.c_index),
                note="all patients in one place: allowed on synthetic data only",
                ranked=False,
            ),
            ComparisonRow(
                "oracle",
                (nan, nan, self.best.c),
                note=f"the true hazard; a sound C lies in {low:.3f} to {high:.3f}",
                ranked=False,
            ),
        )
        metrics = ("AUC image", "AUC image + age", "C survival")
        return ComparisonTable("Test patients, pairs within hospitals", metrics, rows)

    def figures(self) -> dict[str, Any]:
        """Return the same figures as plain values."""
        federated, central = self.study, self.compared.central
        return {
            "federated": _scores(federated),
            "central": _scores(central),
            "local_auc": self.compared.local,
            "local_auc_mean": self.compared.local_mean,
            "age_auc": federated.age_auc,
            "oracle_c": self.best.c,
            "oracle_bounds": list(self.best.bounds()),
            "releases": [
                {
                    "site": r.site,
                    "step": r.step,
                    "round": r.round,
                    "name": r.name,
                    "kind": r.kind,
                    "bytes": r.bytes,
                }
                for r in self.all_releases()
            ],
        }

    def all_releases(self) -> tuple[Any, ...]:
        """Return everything that left the hospitals, in order."""
        study = self.study
        steps = (
            self.statistics,
            study.training,
            study.evaluation,
            study.embedding,
            study.logistic,
            study.cox,
            study.age_only,
        )
        return tuple(line for step in steps for line in step.releases)


def run_demo(
    *,
    out: Path,
    json_file: Path | None = None,
    seed: int = 0,
    size: DemoSize | None = None,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Run the main job, print it, and write plots and one HTML report.

    Parameters
    ----------
    out
        Folder of the report; made where it is missing.
    json_file
        File for the figures; None: none.
    seed
        Of patients, images and networks.
    size, rounds
        Of the study.

    Returns
    -------
    dict
        The figures, ``seconds`` and ``peak_rss_mb`` (kernel and worker together).
    """
    began = time.monotonic()
    console = Console()
    wanted = size or DemoSize(seed=seed)
    root = out / f"hospitals-{wanted.seed}-{wanted.patients}"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{out} cannot hold the report ({error.strerror}); choose a folder."
        raise HomeError(message) from error
    with PeakMemory() as memory:
        told = _tell(console, root, wanted, rounds)
        report = _write(out, told)
        figures = told.figures()
        figures["seconds"] = round(time.monotonic() - began, 1)
    figures["peak_rss_mb"] = round(memory.peak_mb)
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    seconds, peak = figures["seconds"], figures["peak_rss_mb"]
    console.print(f"\n{seconds} s, at most {peak} MB in kernel and worker together.")
    console.print(f"The report is at {report}", soft_wrap=True)
    return figures


def _tell(console: Console, root: Path, size: DemoSize, rounds: int) -> Told:
    console.rule("Three synthetic hospitals")
    with demo(root, size=size) as fed:
        console.print(str(fed.datasets))
        console.rule("Aggregate statistics")
        statistics = fed.statistics(DATASET, ["age", "idh", "grade"])
        console.print(str(statistics))
        console.rule("The contract, as a site owner sees it")
        training = training_plan(rounds=rounds, seed=size.seed, threads=THREADS)
        request = fed.request(study_plan(training), dataset=DATASET, purpose=PURPOSE)
        console.print(str(request), highlight=False, soft_wrap=True)
        approve_all(fed, request)
        console.print(f"Approved by the owners of {', '.join(HOSPITALS)}.")
        console.rule("Federated training, live")
        study = read_study(request.start().results(progress=True))
        heads = _ledgers(fed)
    console.rule("Baselines on the same patients, in the open profile")
    console.print("Central training is possible only because the patients are made up.")
    with baselines(root, size) as beside:
        compared = run_baselines(beside, training)
    told = Told(request, statistics, study, compared, oracle(root))
    console.print(str(told.comparison()), soft_wrap=True)
    console.rule("Survival")
    console.print(str(study.cox), highlight=False, soft_wrap=True)
    console.rule("Everything that left the hospitals")
    console.print(str(_leaving(told)), soft_wrap=True)
    console.print(f"Ledgers verified: {heads}")
    return told


def _ledgers(fed: Federation) -> str:
    """Verify each hospital's ledger and say how long it is."""
    found = []
    for name in HOSPITALS:
        owner = fed.owner(name)
        owner.ledger.verify()
        found.append(f"{name} {len(owner.ledger.entries)} entries")
        owner.close()
    return ", ".join(found)


@dataclass(frozen=True, repr=False)
class Leaving(Shown):
    """Each output of the demo, with how often and how large it left a hospital."""

    rows: tuple[tuple[object, ...], ...]

    def _text(self) -> str:
        return text.table(_LEFT, self.rows)

    def _html(self) -> Html:
        return html.table(_LEFT, self.rows)


def _leaving(told: Told) -> Leaving:
    counted: dict[tuple[int, str, str], list[int]] = {}
    for line in told.all_releases():
        counted.setdefault((line.step, line.name, line.kind), []).append(line.bytes)
    return Leaving(
        tuple(
            (name, kind, len(sizes), text.human_bytes(max(sizes)))
            for (_, name, kind), sizes in counted.items()
        )
    )


def _write(out: Path, told: Told) -> Path:
    """Write the plots as PNG files and the report as one HTML file."""
    import matplotlib as mpl

    mpl.use("Agg")
    study = told.study
    plots = {
        "training": study.training.plot(),
        "hazard_ratios": study.cox.plot(),
        "comparison": told.comparison().plot(),
        "age": told.statistics.plot("age"),
    }
    for name, axes in plots.items():
        figure = axes.get_figure(root=True)
        if figure is not None:
            figure.savefig(out / f"{name}.png", dpi=120, bbox_inches="tight")
    sections = (
        Section("Aggregate statistics", [told.statistics, plots["age"]]),
        Section("The contract", [told.request.preview()]),
        Section("Training", [study.training, plots["training"]]),
        Section("Comparison", [told.comparison(), plots["comparison"]]),
        Section("IDH from image and age", [study.evaluation, study.logistic]),
        Section("Survival", [study.cox, plots["hazard_ratios"]]),
        Section("Everything that left", [_leaving(told)]),
    )
    title = "fednb: three synthetic hospitals"
    return write_report(out / "report.html", sections, title=title)


def _scores(results: StudyResults) -> dict[str, float]:
    return {
        "image_auc": results.image_auc,
        "image_age_auc": results.both_auc,
        "c_index": results.c_index,
    }
