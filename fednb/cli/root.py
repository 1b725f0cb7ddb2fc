"""The command line: what everybody does with fednb; ``fednb site`` is for owners.

Every command imports what it needs when it runs, so that ``fednb --help`` is fast.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fednb.cli.ledger import ledger
from fednb.cli.site import site
from fednb.errors import FednbError

ERROR_STATUS = 2
"""Exit status where fednb says what is wrong; 1 is left to what nobody foresaw."""

BREACH_STATUS = 3
"""Exit status where an attack got something out of fednb."""

JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the figures to this file.")
]


class _Group(TyperGroup):
    """Ends every error of fednb as one clear message and exit status 2."""

    # typing.override came with Python 3.12
    def invoke(self, ctx: Any) -> Any:  # type: ignore[explicit-override]  # noqa: ANN401
        try:
            return super().invoke(ctx)
        except FednbError as error:
            _complain(str(error))
            raise typer.Exit(ERROR_STATUS) from error


app = typer.Typer(
    cls=_Group,
    name="fednb",
    help="Federated training on medical images that never leave their hospitals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold what must not be shown
)
app.add_typer(site, name="site")
app.add_typer(ledger, name="ledger")


def main() -> None:
    """Run the command line."""
    app()


def _tell_version(asked: bool) -> None:  # noqa: FBT001  (typer calls it)
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("fednb")
        except PackageNotFoundError:
            number = "(a checkout that is not installed)"
        typer.echo(f"fednb {number}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Show the version.",
            is_eager=True,
            callback=_tell_version,
        ),
    ] = False,
) -> None:
    """Federated training on medical images that never leave their hospitals."""
    del version  # answered before any command is looked at


@app.command()
def demo(
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for the plots and the report.")
    ] = Path("fednb-demo"),
    json: JsonOption = None,
    seed: Annotated[int, typer.Option(help="Of the synthetic hospitals.")] = 0,
) -> None:
    """Run the whole story on three synthetic hospitals, and write a report."""
    from fednb.phantom.story import run_demo

    run_demo(out=out, json_file=json, seed=seed)


@app.command()
def bench(  # noqa: PLR0913  (a command's options are its arguments)
    name: Annotated[
        str,
        typer.Argument(
            help="rounds, trainer, cox, concordance, statistics, import, science, or "
            "science:survival."
        ),
    ],
    *,
    json: JsonOption = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seeds: Annotated[int, typer.Option(help="Seeds of science.")] = 3,
    engine: Annotated[str, typer.Option(help="Of rounds, also flare.")] = "embedded",
    full: Annotated[bool, typer.Option("--full", help="Also what takes long.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: only shows that it runs.")
    ] = False,
) -> None:
    """Measure fednb beside the tools that it is built on."""
    from fednb.bench.main import run

    bench = name if engine == "embedded" else f"{name}:{engine}"
    run(bench, json_file=json, device=device, seeds=seeds, full=full, quick=quick)


@app.command()
def redteam(
    *,
    json: JsonOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the table to this file.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of patients and attackers.")] = 20,
) -> None:
    """Attack fednb, and the rules of its peers; count the patients recovered."""
    from fednb.redteam.main import run

    if run(json_file=json, html_file=html, seed=seed).breaches():
        raise typer.Exit(BREACH_STATUS)


@app.command()
def up(
    *,
    home: Annotated[Path, typer.Option(help="Folder of everything.")] = Path(
        "fednb-up"
    ),
    sites: Annotated[int, typer.Option(help="Hospitals, 1 to 3.")] = 3,
    patients: Annotated[int, typer.Option(help="Training patients a hospital.")] = 100,
) -> None:
    """Start a coordinator and demo hospitals as processes on 127.0.0.1 (FLARE)."""
    from fednb.phantom.demo import DemoSize
    from fednb.phantom.processes import bring_up

    size = DemoSize(patients, max(patients // 2, 10), patients)
    kit, homes = bring_up(home, sites=sites, size=size)
    typer.echo(f'In a notebook: fed = fednb.connect("{kit}")')
    for name, path in homes.items():
        typer.echo(f'As owner of {name}: fednb.SiteOwner("{path}")')


@app.command()
def down(
    *,
    home: Annotated[Path, typer.Option(help="As for up.")] = Path("fednb-up"),
) -> None:
    """Stop everything that `up` started."""
    from fednb.flare.processes import down as stop_all

    stop_all(home)


@app.command()
def status(
    *,
    home: Annotated[Path, typer.Option(help="As for up.")] = Path("fednb-up"),
) -> None:
    """Show the processes that `up` started."""
    from fednb.display.text import table
    from fednb.flare.processes import status as all_status

    rows = [(p.party, p.kind, p.pid or "not running") for p in all_status(home)]
    typer.echo(table(("party", "kind", "process"), rows))


@app.command()
def provision(
    project: Annotated[Path, typer.Argument(help="Project file, YAML or JSON.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of the kits.")] = Path("kits"),
) -> None:
    """Write a startup kit for each party of a project."""
    from fednb.flare.provision import provision as write_kits
    from fednb.flare.provision import read_project

    for party, kit in write_kits(read_project(project), out).items():
        typer.echo(f"{party}: {kit}")


def _complain(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from fednb.display.text import visible

    lines = [visible(line, limit=10_000) for line in message.splitlines()]
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("fednb: ", style="bold red") + Text("\n".join(lines)))
