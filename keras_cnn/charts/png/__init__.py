"""Charts drawn with matplotlib, for files: `figure` draws the picture, `write` saves it."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from keras_cnn.charts import BarRows, Chart, Contours, Drawing, HeatMap, IntervalRows, ParallelCoordinates, Plot
from keras_cnn.charts.png import maps, matrices, parallel, plots, rows
from keras_cnn.charts.png.captions import write_caption
from keras_cnn.figures import style


def write(charts: Sequence[Chart], path: Path, title: str = "", caption: str = "") -> None:
    """Saves a figure of the charts, by default with the title of the first, in the format of the path's suffix.

    The file is written completely or not at all.
    """
    style.save(figure([chart.drawing for chart in charts], title or charts[0].title, caption), path)


@style.styled
def figure(drawings: Sequence[Drawing], title: str, caption: str = "", below: Sequence[Plot] = ()) -> Figure:
    """The drawings under one title and above one caption: plots or square maps side by side, or one of another kind.

    `below` are lower plots, one for each of the plots or one as wide as all. Raises ValueError for drawings that cannot
    be drawn side by side.
    """
    several = [drawing for drawing in drawings if isinstance(drawing, Plot)]
    squares = [drawing for drawing in drawings if isinstance(drawing, HeatMap) and drawing.square]
    if len(several) == len(drawings):
        drawn = plots.draw(several, title, caption, below)
    elif len(squares) == len(drawings):
        drawn = matrices.draw(squares, title, caption)
    elif len(drawings) == 1:
        drawn = _alone(drawings[0], title, caption)
    else:
        kinds = ", ".join(type(drawing).__name__ for drawing in drawings)
        raise ValueError(f"{kinds} side by side; expected plots alone, square maps alone, or one drawing")
    write_caption(drawn, caption)
    return drawn


def _alone(drawing: Drawing, title: str, caption: str) -> Figure:
    match drawing:
        case BarRows():
            return rows.draw_bars(drawing, title, caption)
        case IntervalRows():
            return rows.draw_intervals(drawing, title, caption)
        case HeatMap():
            return maps.draw(drawing, title, caption)
        case Contours():
            return maps.draw_contours(drawing, title, caption)
        case ParallelCoordinates():
            return parallel.draw(drawing, title)
        case _:
            raise TypeError(f"no picture of {type(drawing).__name__}")
