"""What was written down as JSON and is read again: its shape must be right, and what is not is named in a sentence."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Written(BaseModel):
    """Nothing is guessed: a number is a number, a name is one of those that are known."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


def fault(error: ValidationError, *within: str | int) -> str:
    """The first thing that is wrong, and where it stands: there, in what stands at `within`."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, (*within, *first["loc"])))
    said = "We know no such name" if first["type"] == "extra_forbidden" else first["msg"]
    return f"{place}: {said}" if place else said
