"""What a site owner does, on the site's machine, beside the running server."""

from fednb.owner.site_owner import SiteOwner

__all__ = ["SiteOwner"]
