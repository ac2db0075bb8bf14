"""Numbers as the page prints them."""


def percent(value: float | None, digits: int = 2) -> str:
    """0.6848 -> 68.48 %; an unknown number is a dash."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def interval(ends: tuple[float, float] | None, digits: int = 2) -> str:
    """(0.67562, 0.69383) -> [67.56, 69.38]; None -> ""."""
    return f"[{100 * ends[0]:.{digits}f}, {100 * ends[1]:.{digits}f}]" if ends else ""


def count(value: float | None) -> str:
    """173026 -> 173,026."""
    return "–" if value is None else f"{value:,.0f}"


def digits(value: float | None, places: int) -> str:
    """0.67041 with 4 places -> 0.6704; 173026 with 0 -> 173,026."""
    return "–" if value is None else f"{value:,.{places}f}"


def with_interval(value: float | None, ends: tuple[float, float] | None, places: int = 4) -> str:
    """0.6141 [0.5923, 0.6371]; only the number if there are no ends."""
    text = digits(value, places)
    return text if value is None or not ends else f"{text} [{digits(ends[0], places)}, {digits(ends[1], places)}]"


def percent_with_interval(value: float | None, ends: tuple[float, float] | None, places: int = 2) -> str:
    """79.33 % [78.53, 80.11]; only the number if there are no ends."""
    return percent(value, places) if value is None else f"{percent(value, places)} {interval(ends, places)}".strip()


def duration(seconds: float | None) -> str:
    """4000 -> 1 h 06 min; 99 -> 1 min 39 s; 4.25 -> 4.2 s."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def large(value: float | None) -> str:
    """1578528 -> 1.58 M, with three significant digits."""
    if value is None:
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}" if value < 999.5 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"
