"""CAP 1.2 held to the structure of its schema: names, order, how often, and what values may be.

Written from the element tables of the OASIS standard (CAP-v1.2-os, section 3.2); conditions that its schema
cannot say, but its text asks for, are at the end. No schema is copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import defusedxml.ElementTree

NAMESPACE = "{urn:oasis:names:tc:emergency:cap:1.2}"
_MANY = 1 << 30

Fits = Callable[[str], bool]


def _one_of(words: str) -> Fits:
    allowed = frozenset(words.split())
    return lambda text: text in allowed


def _pattern(expression: str) -> Fits:
    compiled = re.compile(expression)
    return lambda text: compiled.fullmatch(text) is not None


def _polygon(text: str) -> bool:
    """Four pairs of latitude and longitude or more, the last as the first."""
    pairs = text.split(" ")
    if not all(re.fullmatch(r"-?\d+(\.\d+)?,-?\d+(\.\d+)?", pair) for pair in pairs):
        return False
    places = [tuple(map(float, pair.split(","))) for pair in pairs]
    within = all(-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0 for lat, lon in places)
    return within and len(places) >= 4 and places[0] == places[-1]


_ANY: Fits = lambda _text: True  # noqa: E731  beside functions of its kind
_TOKEN = _pattern(r"[^\s,<&]+")
_TIME = _pattern(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d")
_NUMBER = _pattern(r"[-+]?\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Rule:
    """A child: how often at least and at most, and what its text may be; inner: of one that has children."""

    name: str
    least: int
    most: int
    fits: Fits = _ANY
    inner: tuple[Rule, ...] | None = None


_NAMED = (Rule("valueName", 1, 1), Rule("value", 1, 1))

_AREA = (
    Rule("areaDesc", 1, 1),
    Rule("polygon", 0, _MANY, _polygon),
    Rule("circle", 0, _MANY, _pattern(r"-?\d+(\.\d+)?,-?\d+(\.\d+)? \d+(\.\d+)?")),
    Rule("geocode", 0, _MANY, inner=_NAMED),
    Rule("altitude", 0, 1, _NUMBER),
    Rule("ceiling", 0, 1, _NUMBER),
)
_RESOURCE = (
    Rule("resourceDesc", 1, 1),
    Rule("mimeType", 1, 1),
    Rule("size", 0, 1, _pattern(r"\d+")),
    Rule("uri", 0, 1),
    Rule("derefUri", 0, 1),
    Rule("digest", 0, 1),
)
_INFO = (
    Rule("language", 0, 1, _pattern(r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*")),
    Rule(
        *("category", 1, _MANY),
        _one_of("Geo Met Safety Security Rescue Fire Health Env Transport Infra CBRNE Other"),
    ),
    Rule("event", 1, 1),
    Rule(
        *("responseType", 0, _MANY),
        _one_of("Shelter Evacuate Prepare Execute Avoid Monitor Assess AllClear None"),
    ),
    Rule("urgency", 1, 1, _one_of("Immediate Expected Future Past Unknown")),
    Rule("severity", 1, 1, _one_of("Extreme Severe Moderate Minor Unknown")),
    Rule("certainty", 1, 1, _one_of("Observed Likely Possible Unlikely Unknown")),
    Rule("audience", 0, 1),
    Rule("eventCode", 0, _MANY, inner=_NAMED),
    Rule("effective", 0, 1, _TIME),
    Rule("onset", 0, 1, _TIME),
    Rule("expires", 0, 1, _TIME),
    *(Rule(name, 0, 1) for name in ("senderName", "headline", "description", "instruction")),
    *(Rule(name, 0, 1) for name in ("web", "contact")),
    Rule("parameter", 0, _MANY, inner=_NAMED),
    Rule("resource", 0, _MANY, inner=_RESOURCE),
    Rule("area", 0, _MANY, inner=_AREA),
)
_ALERT = (
    Rule("identifier", 1, 1, _TOKEN),
    Rule("sender", 1, 1, _TOKEN),
    Rule("sent", 1, 1, _TIME),
    Rule("status", 1, 1, _one_of("Actual Exercise System Test Draft")),
    Rule("msgType", 1, 1, _one_of("Alert Update Cancel Ack Error")),
    Rule("source", 0, 1),
    Rule("scope", 1, 1, _one_of("Public Restricted Private")),
    Rule("restriction", 0, 1),
    Rule("addresses", 0, 1),
    Rule("code", 0, _MANY),
    Rule("note", 0, 1),
    Rule("references", 0, 1),
    Rule("incidents", 0, 1),
    Rule("info", 0, _MANY, inner=_INFO),
)


def cap_faults(data: bytes) -> list[str]:
    """What of a message the standard does not allow; none of one that is right."""
    root = defusedxml.ElementTree.fromstring(data)
    if root.tag != f"{NAMESPACE}alert":
        return [f"{root.tag} is no alert"]
    return [*_faults(root, _ALERT, "alert"), *_conditions(root)]


def _faults(element: Any, rules: tuple[Rule, ...], path: str) -> Iterator[str]:
    by_name = {rule.name: number for number, rule in enumerate(rules)}
    names = [child.tag.removeprefix(NAMESPACE) for child in element]
    if element.attrib:
        yield f"{path}: has attributes"
    if unknown := [name for name in names if name not in by_name]:
        yield f"{path}: does not know {unknown}"
        return
    order = [by_name[name] for name in names]
    if order != sorted(order):
        yield f"{path}: is a sequence, and {names} is another"
    for rule in rules:
        count = names.count(rule.name)
        if not rule.least <= count <= rule.most:
            yield f"{path}/{rule.name}: is there {count} times"
    for child, name in zip(element, names, strict=True):
        rule = rules[by_name[name]]
        if rule.inner is not None:
            yield from _faults(child, rule.inner, f"{path}/{name}")
        elif len(child) or child.attrib or not rule.fits(child.text or ""):
            yield f"{path}/{name}: {child.text!r} is not allowed"


def _conditions(alert: Any) -> Iterator[str]:
    scope = alert.findtext(f"{NAMESPACE}scope")
    for asked, name in (("Restricted", "restriction"), ("Private", "addresses")):
        if scope == asked and alert.find(f"{NAMESPACE}{name}") is None:
            yield f"alert: {asked} without {name}"
    for area in alert.iter(f"{NAMESPACE}area"):
        if area.find(f"{NAMESPACE}ceiling") is not None and area.find(f"{NAMESPACE}altitude") is None:
            yield "area: a ceiling without an altitude"
