"""Texts in CSV files: spreadsheets run a cell that begins like a formula, so it gets an apostrophe in front."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_cell(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula; `from_cell` restores it."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def from_cell(cell: str) -> str:
    """The text that `to_cell` wrote."""
    is_escaped = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA)
    return cell.removeprefix("'") if is_escaped else cell
