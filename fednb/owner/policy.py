"""A site's policy as its owner reads and changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fednb.display import html, text
from fednb.display.hooks import Shown
from fednb.privacy.profiles import profile_named
from fednb.site.policy import Policy, change_policy, read_policy

if TYPE_CHECKING:
    from fednb.display.html import Html
    from fednb.site.home import Home
    from fednb.site.ledger import Ledger

_HEADERS = ("rule", "value", "meaning")
_MEANING = {
    "profile": "disclosure profile; a job may tighten it, never loosen it",
    "auto_approve": "kinds of contract that need no decision by hand",
    "carry_over": "whether a contract that only tightens takes an approval over",
    "max_rounds": "rounds of training a contract may ask for",
    "max_seconds": "seconds that one call may take",
    "max_gpu_gib": "GiB of GPU memory that a contract may ask for",
    "max_message_bytes": "size of a message",
    "max_calls": "calls under one contract",
    "devices": "devices that a contract may name",
    "custom_code": "whether a contract may carry code of its requester's own",
    "confinement": "whether such code needs every wall that a machine can have",
    "max_code_gib": "GiB of address space of a process that runs such code",
    "max_fits": "distinct fits of one outcome, made or refused, of all requesters",
    "require_dp": "whether training needs differential privacy",
    "max_epsilon": "privacy that a requester may spend on a dataset's patients",
    "max_delta": "delta at which it is counted; no contract's may exceed it",
    "peers": "what happens to contracts with keys of sites that nobody confirmed",
}


class OwnerPolicy(Shown):
    """What the owner allows, as of when it was looked up.

    Parameters
    ----------
    home, ledger
        Of the site.

    Raises
    ------
    HomeError
        The file in the home is not a policy; nothing runs until it is corrected.
    """

    def __init__(self, home: Home, ledger: Ledger) -> None:
        self._home = home
        self._ledger = ledger
        self.rules: Policy = read_policy(home)

    def set(self, **changes: object) -> OwnerPolicy:
        """Change rules, enter the change in the ledger, and return the new policy.

        It holds from the next message on, for contracts that are approved already too.

        Parameters
        ----------
        **changes
            Fields of `fednb.site.policy.Policy` by name, for example
            ``profile="open"`` or ``auto_approve=("statistics",)``.

        Raises
        ------
        InputError
            There is no such rule, or a value is not allowed; all are listed.
        HomeError
            The policy could not be stored.
        """
        before = msgspec.to_builtins(self.rules)
        change_policy(self._home, **changes)
        changed = OwnerPolicy(self._home, self._ledger)
        after = msgspec.to_builtins(changed.rules)
        new = {name: after[name] for name in after if after[name] != before[name]}
        if new:
            old = {name: before[name] for name in new}
            self._ledger.record("decision", {"policy": new, "before": old})
        return changed

    def _rows(self) -> list[tuple[str, str, str]]:
        values = msgspec.structs.asdict(self.rules)
        return [(name, _plain(values[name]), _MEANING[name]) for name in values]

    def _says(self) -> str:
        profile = profile_named(self.rules.profile)
        if profile.exact:
            return (
                "Profile open: exact values leave, without a threshold. For public or "
                "synthetic data only."
            )
        return (
            f"Profile {profile.name}: no value of fewer than {profile.threshold} "
            f"patients leaves; counts are rounded ({profile.rounding})."
        )

    def _text(self) -> str:
        return f"{self._says()}\n\n{text.table(_HEADERS, self._rows())}"

    def _html(self) -> Html:
        grid = html.table(_HEADERS, self._rows())
        return html.element("div", html.element("p", self._says()), grid)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)
