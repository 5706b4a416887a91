"""Print the tables of a results file as Markdown: tables.py RESULTS.json"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def number(value: float) -> str:
    """Return three digits at least."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def table(title: str, rows: dict[str, dict[str, float]]) -> str:
    """Return a table under its title."""
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| {title} | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name, row in rows.items():
        cells = (number(row[column]) if column in row else "" for column in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(path: str) -> None:
    """Print machine, tables and bars."""
    results = json.loads(Path(path).read_text())
    about = results["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    print(f"{results['date']}: {about['cpu']}, {about['cores']} cores, {about['kernel']},")
    print(f"{about['python']}, {about['compiler']}; {packages}.\n")
    for title, rows in results["tables"].items():
        print(table(title, rows))
    for note in results["notes"]:
        print(f"- {note}")
    print("\n| aimed at | bar | measured |\n|---|---:|---:|")
    for bar in results["bars"]:
        missed = "" if bar["met"] else " (missed)"
        print(f"| {bar['what']} | {bar['bar']} | {number(bar['value'])}{missed} |")


main(*sys.argv[1:])
