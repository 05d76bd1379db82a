"""Rows, and the page they are written to. A row comes from a run and nowhere else."""

from __future__ import annotations

import datetime
import json
import os
from dataclasses import asdict, dataclass

from lab import paths
from registry import GROUPS, Fault, Seen

RESULTS = paths.REPOSITORY / ".build/faults/results.json"
PAGE = paths.REPOSITORY / "docs/reliability.md"
BEGIN, END = "<!-- the matrix: written by `make test-faults` -->", "<!-- the matrix ends -->"
_HEADER = ["| fault | injected | expected | seen | time to recover | requests lost |", "|---|---|---|---|---:|---:|"]


@dataclass(frozen=True)
class Row:
    name: str
    group: str
    injected: str
    expected: str
    text: str
    recovery: str
    lost: str
    green: bool
    tested: bool
    date: str

    @classmethod
    def _of(cls, fault: Fault, text: str, *, recovery: str = "", lost: str = "", green: bool = True, tested: bool = True) -> "Row":
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes")
        return cls(fault.name, fault.group, fault.injected, fault.expected, text, recovery, lost, green, tested, now)

    @classmethod
    def seen(cls, fault: Fault, seen: Seen) -> "Row":
        recovery = "" if seen.recovery is None else f"{seen.recovery:.1f} s"
        lost = "" if seen.lost is None else f"{seen.lost}" + ("" if seen.requests is None else f" of {seen.requests:,}")
        return cls._of(fault, seen.text, recovery=recovery, lost=lost)

    @classmethod
    def failed(cls, fault: Fault, why: str) -> "Row":
        return cls._of(fault, "**not as expected:** " + why.strip().splitlines()[0][:300], green=False)

    @classmethod
    def untested(cls, fault: Fault) -> "Row":
        return cls._of(fault, f"untested: {fault.why}", tested=False)

    def line(self) -> str:
        cells = (self.name, self.injected, self.expected, self.text, self.recovery, self.lost)
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def table(lines: list[tuple[str, str]]) -> list[str]:
    """Tables by group, of (group, line)."""
    found: list[str] = []
    for group in GROUPS:
        if members := [line for of, line in lines if of == group]:
            found += [f"### {group}", "", *_HEADER, *members, ""]
    return found[:-1]


def shown(page: str) -> dict[str, tuple[str, str]]:
    """What the page says already, by the fault's name: its group and its line."""
    group, found = "", {}
    for line in page.partition(BEGIN)[2].partition(END)[0].splitlines():
        if line.startswith("### "):
            group = line[4:]
        elif line.startswith("| ") and line != _HEADER[0]:
            found[line[2:].split(" | ", 1)[0]] = (group, line)
    return found


def known() -> dict[str, Row]:
    try:
        return {name: Row(**row) for name, row in json.loads(RESULTS.read_text()).items()}
    except FileNotFoundError:
        return {}


def keep(rows: list[Row]) -> None:
    """Keeps these rows as the newest of their faults."""
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    results = known() | {row.name: row for row in rows}
    fresh = RESULTS.with_suffix(".new")
    fresh.write_text(json.dumps({name: asdict(row) for name, row in results.items()}, indent=1))
    os.replace(fresh, RESULTS)


def write_page(names: list[str]) -> None:
    """Puts the newest row of each of these faults between the page's marks: the results' here, else what the page says already."""
    newest = known()
    text = PAGE.read_text()
    lines = shown(text) | {name: (row.group, row.line()) for name, row in newest.items()}
    rows = [newest[name] for name in names if name in newest]
    tested = [row for row in rows if row.tested]
    red = sum(1 for row in tested if not row.green)
    dates = sorted(row.date for row in tested)
    span = f"Measured from {dates[0]} to {dates[-1]} on {os.cpu_count()} cores, Linux {os.uname().release}: " if dates else ""
    summary = f"{span}{len(tested) - red} green, {red} not, {len(rows) - len(tested)} untested."
    present = [lines[name] for name in names if name in lines]
    if len(present) > len(rows):
        summary += f" {len(present) - len(rows)} rows are of earlier runs."
    head, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([head + BEGIN, "", summary, "", *table(present), "", END]) + after)
