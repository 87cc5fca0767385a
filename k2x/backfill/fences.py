"""Which orders of a history would be posted, and which the rules keep out: by site, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from connectors.kentico.backfill import Plan
from k2x.publish import rules_of
from k2x.settings import Settings


@dataclass(frozen=True)
class Fence:
    """One site's orders. `org` None: no store of k2x.yaml. `cutover` None: the rules keep nothing out."""

    site: str
    orders: int
    before_cutover: int
    org: str | None
    cutover: date | None

    @property
    def postable(self) -> int:
        """Orders that go to Xero if they are paid."""
        return self.orders - self.before_cutover if self.org else 0


def cutovers_of(settings: Settings, instance: str) -> dict[str, date | None]:
    """The cut-over of each store of an instance, by site name. ConfigError where rules cannot be read."""
    documents = {org: rules_of(settings, org) for org in settings.orgs_of(instance)}
    return {
        name.partition("/")[2]: documents[store.organisation].store(name).cutover
        for name, store in settings.stores.items()
        if name.startswith(f"{instance}/")
    }


def fences(settings: Settings, instance: str, plan: Plan) -> list[Fence]:
    """Each site of a plan."""
    cutovers = cutovers_of(settings, instance)
    stores = {name: store.organisation for name, store in settings.stores.items()}
    return [
        Fence(
            site.site,
            site.orders,
            site.before_cutover,
            stores.get(f"{instance}/{site.site}"),
            cutovers.get(site.site),
        )
        for site in plan.sites
    ]


def unfenced(settings: Settings, instance: str, found: list[Fence]) -> list[str]:
    """One sentence for each site whose orders a person may not want: all to be posted, or all to be dead letters."""
    sentences = []
    for fence in found:
        store = f"{instance}/{fence.site}"
        if fence.org is None:
            sentences.append(f"{store} is no store of k2x.yaml: its {fence.orders:,} orders would be dead letters")
        elif fence.cutover is None:
            sentences.append(
                f"{store} has no cut-over: every paid one of its {fence.orders:,} orders is for {fence.org}. "
                f"Set stores.{store}.cutover in {settings.organisations[fence.org].rules}"
            )
    return sentences
