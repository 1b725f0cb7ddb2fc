"""The command line: ``fednb demo``, ``fednb bench``, and ``fednb site`` for owners.

Every command imports what it needs when it runs, so that ``fednb --help`` is fast.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fednb.errors import FednbError, InputError

if TYPE_CHECKING:
    from fednb.owner.site_owner import SiteOwner

ERROR_STATUS = 2
"""Exit status where fednb says what is wrong; 1 is left to what nobody foresaw."""

PathArgument = Annotated[Path, typer.Argument(help="The site's home folder.")]
HashArgument = Annotated[
    str, typer.Argument(metavar="HASH", help="The contract's hash, or its beginning.")
]
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
site = typer.Typer(
    no_args_is_help=True,
    help="What a site owner does, on the site's machine, beside the running server.",
)
app.add_typer(site, name="site")


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
def bench(
    name: Annotated[
        str, typer.Argument(help="rounds, trainer, cox, statistics, import or science.")
    ],
    *,
    json: JsonOption = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seeds: Annotated[int, typer.Option(help="Seeds of `science`.")] = 3,
    full: Annotated[
        bool, typer.Option("--full", help="Also what takes very long.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny sizes: only shows that it runs.")
    ] = False,
) -> None:
    """Measure fednb beside the tools that it is built on."""
    from fednb.bench.main import run

    run(name, json_file=json, device=device, seeds=seeds, full=full, quick=quick)


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


@site.command()
def serve(
    kit: Annotated[Path, typer.Argument(help="The site's startup kit.")],
) -> None:
    """Run a site from its kit until it is stopped."""
    from fednb.flare.processes import serve as run_site

    raise typer.Exit(run_site(kit))


@site.command()
def init(
    path: PathArgument,
    *,
    name: Annotated[str, typer.Option(help="Letters, digits, - and _.")],
    profile: Annotated[
        str, typer.Option(help="standard, rare-disease or open.")
    ] = "standard",
) -> None:
    """Make a home: database, keys, policy and ledger."""
    from fednb.owner.site_owner import SiteOwner

    with SiteOwner.init(path, name, profile) as owner:
        _show(owner)


@site.command("add-dataset")
def add_dataset(  # noqa: PLR0913  (a command's options are its arguments)
    path: PathArgument,
    name: Annotated[str, typer.Argument(help="Letters, digits, - and _.")],
    *,
    table: Annotated[Path, typer.Option(help="CSV with a column patient_id.")],
    images: Annotated[
        Path | None, typer.Option(help="Folder <patient>/<modality>.nii.gz.")
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(help="TOML file of columns: name, kind, unit, lower, upper."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="A column without missing values; may be repeated."),
    ] = None,
    mock: Annotated[
        str, typer.Option(help="auto, or a folder with the mock half.")
    ] = "auto",
    summary: Annotated[str, typer.Option(help="For the card.")] = "",
    terms: Annotated[str, typer.Option(help="Conditions of use, for the card.")] = "",
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="The data are made up.")
    ] = False,
) -> None:
    """Check a dataset, and publish its card and its mock half."""
    from fednb.owner.datasets import read_columns

    with _owner(path) as owner:
        dataset = owner.create_dataset(
            name,
            table=table,
            images=images,
            columns=None if columns is None else read_columns(columns),
            mock=mock,
            labels=tuple(label or ()),
            summary=summary,
            terms=terms,
            synthetic=synthetic,
        )
        _show(dataset)


@site.command()
def datasets(path: PathArgument) -> None:
    """List the site's datasets."""
    with _owner(path) as owner:
        _show(owner.datasets)


@site.command()
def requests(path: PathArgument) -> None:
    """List the contracts that were proposed here, newest first."""
    with _owner(path) as owner:
        _show(owner.requests)


@site.command()
def show(path: PathArgument, contract: HashArgument) -> None:
    """Show a contract in full, as it is approved or denied."""
    with _owner(path) as owner:
        _show(owner.requests[contract])


@site.command()
def approve(
    path: PathArgument,
    contract: HashArgument,
    *,
    note: Annotated[str, typer.Option(help="For the site's own records.")] = "",
) -> None:
    """Let a contract run here until it expires."""
    with _owner(path) as owner:
        _decided(owner.requests[contract].approve(note))


@site.command()
def deny(
    path: PathArgument,
    contract: HashArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stays at the site.")],
) -> None:
    """Refuse a contract for good."""
    with _owner(path) as owner:
        _decided(owner.requests[contract].deny(reason))


@site.command()
def revoke(
    path: PathArgument,
    contract: HashArgument,
    *,
    reason: Annotated[str, typer.Option(help="Why; it stays at the site.")],
) -> None:
    """Take an approval back; what is running stops."""
    with _owner(path) as owner:
        _decided(owner.requests[contract].revoke(reason))


@site.command()
def ledger(
    path: PathArgument,
    action: Annotated[
        str, typer.Argument(help="show, verify, or the id of a refusal.")
    ] = "show",
    *,
    head: Annotated[
        list[str] | None,
        typer.Option(help="A head kept elsewhere; may be repeated."),
    ] = None,
) -> None:
    """Show the newest entries, check the chain, or say why something was refused."""
    with _owner(path) as owner:
        book = owner.ledger
        if action == "show":
            _show(book)
        elif action == "verify":
            _show(book.verify(tuple(head or ())))
        else:
            _show(book.find(action))


@site.command()
def policy(
    path: PathArgument,
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="RULE=VALUE", help="Change a rule; may be repeated."
        ),
    ] = None,
) -> None:
    """Show what the owner allows, or change it."""
    with _owner(path) as owner:
        rules = owner.policy
        if changes:
            rules = rules.set(**dict(map(_change, changes)))
        _show(rules)


def _owner(path: Path) -> "SiteOwner":
    from fednb.owner.site_owner import SiteOwner

    return SiteOwner(path)


def _show(value: object) -> None:
    """Write a value as it shows itself; its invisible characters are marked already."""
    typer.echo(repr(value))


def _decided(request: Any) -> None:  # noqa: ANN401  (an OwnerRequest)
    typer.echo(f"{request.hash} is {request.status}.")


def _complain(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    from fednb.display.text import visible

    lines = [visible(line, limit=10_000) for line in message.splitlines()]
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("fednb: ", style="bold red") + Text("\n".join(lines)))


def _change(text: str) -> tuple[str, object]:
    """Read ``rule=value``; lists are separated by commas."""
    import msgspec

    from fednb.site.policy import Policy

    rule, equals, value = text.partition("=")
    if not equals:
        message = f"--set takes rule=value; got {text!r}."
        raise InputError(message)
    rule = rule.strip()
    default = getattr(Policy(), rule, None)
    if isinstance(default, tuple):
        return rule, [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(default, int | float):
        try:
            return rule, msgspec.json.decode(value.strip())
        except msgspec.DecodeError:
            return rule, value
    return rule, value.strip()
