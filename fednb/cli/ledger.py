"""``fednb ledger``: check a site's ledger, or write it for an auditor.

Every command imports what it needs when it runs.
"""

from pathlib import Path
from typing import Annotated

import typer

ledger = typer.Typer(
    no_args_is_help=True,
    help="Check a site's ledger, or an exported one; write it for an auditor.",
)


@ledger.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A site's home, or an export.")],
    *,
    head: Annotated[
        list[str] | None,
        typer.Option(help="Of a home: a head kept elsewhere; may be repeated."),
    ] = None,
) -> None:
    """Check the chain and every signature; of an export, by its files alone."""
    from fednb.owner.export import METADATA, verify_crate
    from fednb.owner.site_owner import SiteOwner

    if (path / METADATA).is_file():
        count, newest, fingerprint = verify_crate(path)
        typer.echo(f"The export holds: {count} entries. Head: {newest}")
        typer.echo(f"Compare the fingerprint with the site's owner: {fingerprint}")
        return
    with SiteOwner(path) as owner:
        typer.echo(repr(owner.ledger.verify(tuple(head or ()))))


@ledger.command()
def export(
    path: Annotated[Path, typer.Argument(help="The site's home folder.")],
    out: Annotated[Path, typer.Argument(help="A new folder, for the RO-Crate.")],
) -> None:
    """Write entries and public keys as an RO-Crate that can be checked by itself."""
    from fednb.owner.site_owner import SiteOwner

    with SiteOwner(path) as owner:
        typer.echo(str(owner.ledger.export(out)))
