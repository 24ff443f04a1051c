"""Which Debian mirrors this machine's own apt is told to use, read from its lists of sources.

Formats: sources.list(5), both the one-line style and deb822.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ETC_APT = Path("/etc/apt")
ROLLING = ("oldoldstable", "oldstable", "stable", "testing", "unstable", "sid", "experimental")
CODENAMES = ("buster", "bullseye", "bookworm", "trixie", "forky", "duke")
SUITES = frozenset(ROLLING + CODENAMES)
YES = frozenset({"yes", "true", "with", "on", "enable"})


@dataclass(frozen=True, slots=True)
class Mirror:
    """One address of the Debian archive, and how apt is told to trust it."""

    uri: str
    signed_by: str = ""  # a path, fingerprints, or a whole key in deb822's folded form
    trusted: bool = False

    def sources(self, suites: tuple[str, ...]) -> str:
        """A deb822 stanza that reads these suites from the mirror."""
        rows = {"Types": "deb", "URIs": self.uri, "Suites": " ".join(suites), "Components": "main"}
        rows |= {"Signed-By": self.signed_by} if self.signed_by else {}
        rows |= {"Trusted": "yes"} if self.trusted else {}
        return "".join(f"{name}: {value}\n" for name, value in rows.items())


def mirrors(etc: Path = ETC_APT) -> list[Mirror]:
    """The mirrors of the Debian archive, in apt's order, each once. Security archives and other vendors' are no mirrors
    of it. Files that cannot be read count as empty."""
    found: dict[str, Mirror] = {}
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        read = {".list": one_line, ".sources": deb822}.get(path.suffix)
        try:
            text = path.read_text(errors="replace") if read else ""
        except OSError:
            continue
        for mirror in read(text) if read else ():
            found.setdefault(mirror.uri, mirror)
    return list(found.values())


def one_line(text: str) -> Iterator[Mirror]:
    """`deb [options] uri suite component...`; what does not read so is passed over, as a comment is."""
    for line in text.splitlines():
        words = re.fullmatch(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+?)\s*(?:#.*)?", line)
        if words is None:
            continue
        options = dict(word.partition("=")[::2] for word in (words[1] or "").split())
        if _is_debian([words[3]], words[4].split()):
            yield Mirror(words[2], options.get("signed-by", "").replace(",", " "), options.get("trusted", "") in YES)


def deb822(text: str) -> Iterator[Mirror]:
    """Stanzas of `Field: value` with folded lines, parted by empty lines."""
    for stanza in re.split(r"\n[ \t]*\n", re.sub(r"(?m)^#.*\n?", "", text)):
        fields = _fields(stanza)
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() not in YES:
            continue
        if _is_debian(fields.get("suites", "").split(), fields.get("components", "").split()):
            for uri in fields.get("uris", "").split():
                yield Mirror(uri, fields.get("signed-by", ""), fields.get("trusted", "").lower() in YES)


def _fields(stanza: str) -> Mapping[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line[:1] in (" ", "\t") and name:
            fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _is_debian(suites: list[str], components: list[str]) -> bool:
    """Whether a source is the main archive: a suite of Debian's, or its updates or backports."""
    bases = {re.sub(r"-(updates|backports|proposed-updates)$", "", suite.strip("/")) for suite in suites}
    return "main" in components and bool(bases & SUITES)
