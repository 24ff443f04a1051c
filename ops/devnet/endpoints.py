"""Where the parts of an installation are reached."""

from dataclasses import dataclass

from adapters.settings import Settings


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses as seen from this machine."""

    api: str
    api_docs: str
    temporal_ui: str
    temporal: str
    node: str
    node_control: str


def endpoints(settings: Settings) -> Endpoints:
    node = settings.node_urls("ethereum")[0]
    return Endpoints(
        api=settings.api_url,
        api_docs=f"{settings.api_url}/docs",
        temporal_ui=settings.temporal_ui,
        temporal=settings.temporal_target,
        node=node,
        node_control=f"{node}/_ctl",
    )
