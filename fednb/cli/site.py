"""``fednb site``: what a site owner does, on the site's machine.

Every command imports what it needs when it runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fednb.errors import InputError

if TYPE_CHECKING:
    from fednb.owner.site_owner import SiteOwner

PathArgument = Annotated[Path, typer.Argument(help="The site's home folder.")]
HashArgument = Annotated[
    str, typer.Argument(metavar="HASH", help="The contract's hash, or its beginning.")
]

site = typer.Typer(
    no_args_is_help=True,
    help="What a site owner does, on the site's machine, beside the running server.",
)


@site.command()
def serve(
    kit: Annotated[
        Path, typer.Argument(help="Startup kit of a site, or of the coordinator.")
    ],
) -> None:
    """Run the party of a kit until it is stopped."""
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
        Path | None,
        typer.Option(
            help="Folder <patient>/<modality>.nii.gz, or <patient>/<modality>/ with "
            "the slices of a DICOM series."
        ),
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(help="TOML file that declares the columns; see the README."),
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
def preview(path: PathArgument, contract: HashArgument) -> None:
    """Run a contract on the site's mock: what would leave, and what it would cost."""
    from fednb.embedded.rehearse import rehearse

    with _owner(path) as owner:
        _show(rehearse(owner, contract))


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
    refusal: Annotated[
        str, typer.Argument(help="The id that a requester quotes.")
    ] = "",
) -> None:
    """Show the newest entries, or say why something was refused."""
    with _owner(path) as owner:
        _show(owner.ledger.find(refusal) if refusal else owner.ledger)


@site.command()
def peers(
    path: PathArgument,
    *,
    confirm: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="SITE FINGERPRINT", help="Say whose keys have a fingerprint."
        ),
    ] = None,
    forget: Annotated[
        str, typer.Option(help="A site whose keys are unknown again.")
    ] = "",
) -> None:
    """Show this site's fingerprint and the other sites' that are confirmed."""
    with _owner(path) as owner:
        known = owner.peers
        if confirm is not None:
            known = known.confirm(*confirm)
        if forget:
            known = known.forget(forget)
        _show(known)


@site.command("rotate-keys")
def rotate_keys(
    path: PathArgument,
    *,
    lost: Annotated[
        bool, typer.Option("--lost", help="The old key is gone, with no backup.")
    ] = False,
) -> None:
    """Give the site new keys, with the server stopped; every contract ends."""
    from fednb.owner.site_owner import SiteOwner

    with (
        SiteOwner.replace_lost_keys(path) if lost else SiteOwner(path).rotate_keys()
    ) as owner:
        typer.echo(
            "Tell the scientists and the other sites' owners the new fingerprint: "
            f"{owner.fingerprint}"
        )


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
