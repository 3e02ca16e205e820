"""Microversions: the window a service offers, the headers that choose, and the marks on fields and routes."""

import functools
from dataclasses import dataclass

from pileus.kernel.errors import Invalid, NotAcceptable

Version = tuple[int, int]
FIRST: Version = (0, 0)
LAST: Version = (9999, 9999)


@functools.cache
def version(text: str) -> Version:
    """Return ``(2, 53)`` for ``"2.53"``."""
    major, minor = text.split(".")
    return int(major), int(minor)


@dataclass(frozen=True)
class Between:
    """The microversions, both ends included, in which a field or a route exists."""

    first: Version = FIRST
    last: Version = LAST

    def __contains__(self, wanted: Version) -> bool:
        return self.first <= wanted <= self.last


def since(first: str) -> Between:
    """Mark a field (``Annotated[str, since("2.19")]``) that came with a microversion."""
    return Between(first=version(first))


def until(last: str) -> Between:
    """Mark a field that was there up to a microversion."""
    return Between(last=version(last))


@dataclass(frozen=True)
class Microversions:
    """What one service offers: ``Microversions("compute", "2.1", "2.103", legacy="X-OpenStack-Nova-API-Version")``."""

    service: str
    minimum: str
    maximum: str
    legacy: str | None = None

    def choose(self, headers: dict[str, str]) -> Version:
        """Return the version the headers ask for, the minimum when they ask for none.

        Raises Invalid for a malformed and NotAcceptable for an unsupported one.  Header format:
        https://specs.openstack.org/openstack/api-sig/guidelines/microversion_specification.html
        """
        asked = None
        for part in headers.get("openstack-api-version", "").split(","):
            words = part.split()
            if len(words) == 2 and words[0] == self.service:
                asked = words[1]
        if asked is None and self.legacy:
            asked = headers.get(self.legacy.lower())
        if asked is None:
            return version(self.minimum)
        asked = asked.strip()
        if asked == "latest":
            return version(self.maximum)
        try:
            wanted = version(asked)
        except ValueError:
            raise Invalid(
                f"API Version String '{asked}' is of invalid format. Must be of format MajorNum.MinorNum or 'latest'.",
            ) from None
        if not version(self.minimum) <= wanted <= version(self.maximum):
            raise NotAcceptable(
                f"Version {asked} is not supported by the API. "
                f"Minimum is {self.minimum} and maximum is {self.maximum}.",
                max_version=self.maximum,
                min_version=self.minimum,
            )
        return wanted

    def headers(self, chosen: Version) -> list[tuple[str, str]]:
        """Return the headers that tell the client which version answered."""
        text = f"{chosen[0]}.{chosen[1]}"
        vary = "OpenStack-API-Version" + (f", {self.legacy}" if self.legacy else "")
        found = [("OpenStack-API-Version", f"{self.service} {text}"), ("Vary", vary)]
        return found + ([(self.legacy, text)] if self.legacy else [])
