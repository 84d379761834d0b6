"""Writes the tables of docs/configuration.md from the classes of the configuration: `make docs`."""

from collections.abc import Sequence
from pathlib import Path

from agent.config import NONE
from agent.manual import REQUIRED, Key, Table, tables
from agent.toml import as_toml

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
BELOW = "<!-- `make docs` writes what follows. -->\n"
TITLES = ("key", "default", "unit", "range", "meaning")


def page(written: str) -> str:
    """Give the page as it is to be: what somebody wrote, then all keys."""
    by_hand, mark, _ = written.partition(BELOW)
    if not mark:
        raise ValueError(f"{PAGE}: there is no line {BELOW}")
    return by_hand + mark + "".join(map(section, tables()))


def section(table: Table) -> str:
    """Give what is said of one section."""
    title = f"[{table.name}]" if table.name else "Top level"
    said = f"{table.meaning}\n\n" if table.meaning else ""
    inner = "".join(_inner(alike) for alike in _alike(table.within))
    return f"\n## {title}\n\n{said}{_rows(table.keys)}{inner}"


def _inner(alike: Sequence[Table]) -> str:
    names = ", ".join(f"`{_last(each.name)}`" for each in alike)
    said = f"{alike[0].meaning} " if alike[0].meaning else ""
    return f"\n{said}Keys of the table that may stand at {names}:\n\n{_rows(alike[0].keys)}"


def _alike(inner: Sequence[Table]) -> list[list[Table]]:
    """Put together the tables that have the same keys."""
    found: dict[str, list[Table]] = {}
    for table in inner:
        found.setdefault(table.meaning + _rows(table.keys), []).append(table)
    return list(found.values())


def _rows(keys: Sequence[Key]) -> str:
    lines = [TITLES, tuple("-" * 3 for _ in TITLES), *map(_row, keys)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _row(key: Key) -> tuple[str, ...]:
    # Neither stands in a file like that.
    default = str(key.default) if key.default in (NONE, REQUIRED) else as_toml(key.default)
    cells = (default, key.unit or "–", key.range, key.meaning)
    return (f"`{_last(key.name)}`", *(cell.replace("|", "\\|") for cell in cells))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
