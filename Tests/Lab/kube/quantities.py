"""Quantities as resource.Quantity writes them after reading them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Optional

_FORM = re.compile(r"^([+-]?(?:\d+(?:\.\d*)?|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|[eE][+-]?\d+)?$")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def canonical(text: str) -> Optional[str]:
    """The shortest form with the same kind of suffix, None for what is no quantity."""
    found = _FORM.match(text)
    if not found:
        return None
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix in _BINARY:
        amount = number * 1024 ** _BINARY[suffix]
        if amount == 0:
            return "0"
        if amount % 1024 == 0 or abs(amount) >= 1024:
            for name, power in reversed(_BINARY.items()):
                if amount % 1024**power == 0:
                    return f"{int(amount / 1024**power)}{name}"
        suffix, number = "", amount
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        number, suffix = number * Decimal(10) ** int(suffix[1:]), ""
    amount = number * Decimal(10) ** _DECIMAL[suffix]
    if amount == 0:
        return "0"
    for name, power in sorted(_DECIMAL.items(), key=lambda entry: -entry[1]):
        scaled = amount / Decimal(10) ** power
        if scaled == int(scaled):
            return f"{int(scaled)}{name}"
    return f"{int(amount * 10**9)}n"
