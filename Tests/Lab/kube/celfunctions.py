"""The CEL environment of Kubernetes: strings, lists, regular expressions, addresses, URLs, quantities, named formats."""

from __future__ import annotations

import base64
import ipaddress
import re
from functools import lru_cache
from typing import Any, Callable
from urllib.parse import urlsplit

from .packages import load
from .quantities import canonical


class CelUnavailable(RuntimeError):
    """cel-expr-python could not be installed or loaded."""


def formatted(format: str, value: str) -> Any:
    """A string as rules see it. Times and durations stay text here: this CEL takes none from outside, so a rule about a
    field of format date-time, date or duration fails where Kubernetes has a timestamp or a duration."""
    if format == "byte":
        try:
            return base64.b64decode(value)
        except ValueError:
            pass
    return value


def _is(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
            return True
        except ValueError:
            return False

    return check


def _ip(text: str) -> Any:
    if "%" in text:
        raise ValueError(f"IP Address {text!r} in string format with a zone")
    return ipaddress.ip_address(text)


def _cidr(text: str) -> Any:
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdigit():
        raise ValueError(f"network address parse error during conversion from string: {text!r}")
    return ipaddress.ip_interface(text)


def _url(text: str) -> Any:
    parts = urlsplit(text)
    if not (parts.scheme and (parts.netloc or parts.path)) and not text.startswith("/"):
        raise ValueError(f"URL parse error during conversion from string: {text!r}")
    return parts


def _contains(outer: str, inner: str) -> bool:
    network = _cidr(outer).network
    other = _cidr(inner).network if "/" in inner else ipaddress.ip_network(_ip(inner))
    return network.version == other.version and other.subnet_of(network)


def _number(text: str) -> float:
    from .podchecks import _amount
    return _amount(text)


def _quantity(text: str) -> str:
    got = canonical(text)
    if got is None:
        raise ValueError("quantities must match the regular expression")
    return got


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAMED = {
    "dns1123Label": (_LABEL, 63, "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"),
    "dns1123Subdomain": (rf"{_LABEL}(\.{_LABEL})*", 253, "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"),
    "dns1035Label": (r"[a-z]([-a-z0-9]*[a-z0-9])?", 63, "a DNS-1035 label must consist of lower case alphanumeric characters or '-'"),
    "labelValue": (r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", 63, "a valid label must be an empty string or consist of alphanumeric characters"),
    "qualifiedName": (rf"({_LABEL}(\.{_LABEL})*/)?([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", 317, "name part must consist of alphanumeric characters"),
}


def _named(name: str, value: str) -> list[str]:
    pattern, limit, says = _NAMED[name]
    if len(value) > limit:
        return [f"must be no more than {limit} characters"]
    return [] if re.fullmatch(pattern, value) else [says]


@lru_cache(maxsize=1)
def environment() -> Any:
    """One for all rules: `self` and `oldSelf` are of any type."""
    try:
        cel = load("cel_expr_python.cel")
        extensions = [getattr(load(f"cel_expr_python.ext.ext_{name.lower()}"), f"Ext{name}")()
                      for name in ("Strings", "Optional", "Bindings", "Math", "Encoders")]
    except ImportError as error:
        raise CelUnavailable(f"cel-expr-python: {error}") from error
    kinds = cel.Type
    functions: dict[str, list[Any]] = {}

    def add(name: str, parameters: list[Any], result: Any, work: Callable[..., Any], *, member: bool = False) -> None:
        overloads = functions.setdefault(name, [])
        overloads.append(cel.Overload(f"k8s_{name}_{len(overloads)}", result, parameters, member, work))

    text, yes, number, any_ = kinds.STRING, kinds.BOOL, kinds.INT, kinds.DYN
    texts = kinds.List(text)
    for name, parse in (("isIP", _ip), ("isCIDR", _cidr), ("isURL", _url), ("isQuantity", _quantity)):
        add(name, [text], yes, _is(parse))
    # Addresses, networks and URLs stay text between functions.
    add("ip", [text], text, lambda value: str(_ip(value)))
    add("ip", [text], text, lambda value: str(_cidr(value).ip), member=True)
    add("cidr", [text], text, lambda value: str(_cidr(value)))
    add("url", [text], text, lambda value: (_url(value), value)[1])
    add("quantity", [text], text, _quantity)
    add("ip.isCanonical", [text], yes, lambda value: str(_ip(value)) == value)
    add("family", [text], number, lambda value: _ip(value).version, member=True)
    for method, attribute in (("isLoopback", "is_loopback"), ("isUnspecified", "is_unspecified"), ("isLinkLocalUnicast", "is_link_local"),
                              ("isGlobalUnicast", "is_global"), ("isLinkLocalMulticast", "is_multicast")):
        add(method, [text], yes, lambda value, attribute=attribute: bool(getattr(_ip(value), attribute)), member=True)
    add("prefixLength", [text], number, lambda value: _cidr(value).network.prefixlen, member=True)
    add("masked", [text], text, lambda value: str(_cidr(value).network), member=True)
    add("containsIP", [text, text], yes, _contains, member=True)
    add("containsCIDR", [text, text], yes, _contains, member=True)
    for method, get in (("getScheme", lambda url: url.scheme), ("getHost", lambda url: url.netloc.rpartition("@")[2]),
                        ("getHostname", lambda url: url.hostname or ""), ("getPort", lambda url: str(url.port or "")),
                        ("getEscapedPath", lambda url: url.path)):
        add(method, [text], text, lambda value, get=get: get(_url(value)), member=True)
    add("isGreaterThan", [text, text], yes, lambda one, other: _number(one) > _number(other), member=True)
    add("isLessThan", [text, text], yes, lambda one, other: _number(one) < _number(other), member=True)
    add("compareTo", [text, text], number, lambda one, other: (_number(one) > _number(other)) - (_number(one) < _number(other)), member=True)
    add("asInteger", [text], number, lambda value: int(_number(value)), member=True)
    add("asApproximateFloat", [text], kinds.DOUBLE, _number, member=True)
    add("find", [text, text], text, lambda value, pattern: (found[0] if (found := re.search(pattern, value)) else ""), member=True)
    add("findAll", [text, text], texts, lambda value, pattern: [found[0] for found in re.finditer(pattern, value)], member=True)
    items = kinds.List(any_)
    add("isSorted", [items], yes, lambda values: all(one <= other for one, other in zip(values, values[1:])), member=True)
    add("sum", [items], any_, lambda values: sum(values), member=True)
    add("min", [items], any_, lambda values: min(values), member=True)
    add("max", [items], any_, lambda values: max(values), member=True)
    for name in _NAMED:
        add(f"format.{name}", [], text, lambda name=name: name)
    add("validate", [text, text], kinds.DYN, _named, member=True)
    declared = [cel.FunctionDecl(name, overloads) for name, overloads in functions.items()]
    return cel.NewEnv(variables={"self": any_, "oldSelf": any_}, extensions=extensions, functions=declared)
