"""The index page of a folder of views: every figure folded by view, with what it shows and its files."""

from pathlib import Path

from keras_cnn.run_folder import write_text
from keras_cnn.run_folder.drawn_views import read_views
from keras_cnn.views.support.html_page import render

INDEX = "index.html"


def write_index(folder: Path, name: str) -> Path:
    """Writes `folder/index.html` on all views in the folder. The page shows the files beside it; it contains none."""
    views, _ = read_views(folder)
    drawn = [view for view in views if view.figures or view.pages]
    place = folder / INDEX
    write_text(place, render("index.html", title=name, views=drawn, left_out=[v for v in views if v not in drawn]))
    return place
