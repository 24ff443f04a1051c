"""`strongroom states`: the diagrams of docs/states/, written anew from the tables in the code."""

from ops import states


def command() -> None:
    """Write the state diagrams anew; prints those that changed."""
    for path in states.write():
        print(path)
