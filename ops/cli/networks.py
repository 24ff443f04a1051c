"""`strongroom networks`: the table of docs/networks.md, written anew from the operator's files."""

from ops import network_page


def command() -> None:
    """Write docs/networks.md anew; prints its path if it changed."""
    if network_page.write():
        print(network_page.PAGE)
