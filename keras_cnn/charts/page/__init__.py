"""Charts as Plotly figures, for the page. The page itself sets the colours of text and of lines that are not data.

A trace of one run has the run's number in `meta`, by which the page shows and hides it. Texts are escaped, because
Plotly interprets some HTML in labels.
"""

from typing import Any

from keras_cnn.charts import BarRows, Chart, Contours, HeatMap, IntervalRows, ParallelCoordinates, Plot
from keras_cnn.charts.page import maps, parallel, plots, rows


def figure(chart: Chart) -> dict[str, Any]:
    """The chart as plotly.js expects it: data and layout."""
    drawing = chart.drawing
    match drawing:
        case Plot():
            drawn = plots.draw(drawing)
        case BarRows():
            drawn = rows.draw_bars(drawing)
        case IntervalRows():
            drawn = rows.draw_intervals(drawing)
        case HeatMap():
            drawn = maps.draw(drawing)
        case Contours():
            drawn = maps.draw_contours(drawing)
        case ParallelCoordinates():
            drawn = parallel.draw(drawing)
    return drawn.to_plotly_json()


def shape(chart: Chart) -> str:
    """The chart's room on the page: wide, square, large square, scrolling, or tall with the height of its layout."""
    match chart.drawing:
        case BarRows() | IntervalRows():
            return "tall"
        case Plot(rows=names) if names:
            return "tall"
        case Plot(is_square=True):
            return "square"
        case ParallelCoordinates():
            return "scrolling"
        case HeatMap(square=True, rows=names):
            return "square" if len(names) ** 2 <= maps.READABLE_CELLS else "large square"
        case _:
            return "wide"
