import ast
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from keras_cnn.figures import style


def contrast_with_white(colour: str) -> float:
    """WCAG 2.1's contrast ratio of a colour on white."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 1.05 / (sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)) + 0.05)


def test_every_colour_of_text_is_readable_and_every_line_visible_on_white():
    assert min(contrast_with_white(colour) for colour in (style.INK, style.GREY)) >= 4.5
    assert min(contrast_with_white(colour) for colour in (style.BLUE, style.ORANGE, style.GREEN)) >= 3


def test_measured_width_is_the_width_that_is_drawn():
    figure = style.new_figure(style.WIDTH, 1, "x", layout=None)
    for text in ("WWWWW", "iiiiiiiiii", "airplane/0001.jpg", "$5 ümläut"):
        drawn = figure.text(0, 0, text, fontsize=9, parse_math=False).get_window_extent().width / style.DPI
        assert style.text_width(text, 9) == pytest.approx(drawn, abs=0.5 / style.DPI)


@pytest.mark.parametrize("text", ["short", "a_long_name_of_a_class_that_is_not_short", "W" * 80, "i" * 300])
def test_fit_keeps_both_ends_and_as_much_as_there_is_room_for(text):
    fitted = style.fit(text, 8, 1.2)
    assert style.text_width(fitted, 8) <= 1.2
    if fitted != text:
        head, tail = fitted.split("…")
        assert text.startswith(head)
        assert text.endswith(tail)
        assert len(head) - len(tail) in (0, 1)
        longer = text[: len(head) + 1] + "…" + text[len(text) - len(tail) - 1 :]
        assert style.text_width(longer, 8) > 1.2


def test_fit_leaves_what_fits_exactly():
    width = style.text_width("airplane", 8)
    assert style.fit("airplane", 8, width) == "airplane"
    assert style.fit("airplane", 8, width - 0.01) != "airplane"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("straße/кот.jpg", "straße/кот.jpg"),
        ("two\nlines\tand a bell\a", "two□lines□and a bell□"),
        ("byte\udcff.jpg", "byte□.jpg"),
        ("e\u0301", "é"),  # composed, as one glyph
        ("\U0010ffff", "□"),
    ],
)
def test_printable(text, expected):
    assert style.printable(text) == expected


def test_a_character_is_drawn_in_any_installed_font_that_has_it_else_said(caplog):
    letter = "\N{LATIN SMALL LETTER D WITH PALATAL HOOK}"  # in STIXGeneral, which comes with matplotlib
    caplog.set_level("INFO", logger="keras_cnn")
    drawn = style.styled(lambda: style.new_figure(4, 1, f"class {letter}"))()
    (title,) = drawn.texts
    assert title.get_text() == f"class {letter}"
    assert "STIXGeneral" in title.get_fontfamily()
    style._NOWHERE.clear()
    assert style.printable("\N{EGYPTIAN HIEROGLYPH A001}!") == "□!"


def test_what_no_font_shows_is_replaced_before_matplotlib_warns(rendered):
    for text in ("猫の写真", "고양이", "🐈", "บ", "\ufffe"):
        figure = style.styled(style.new_figure)(3, 1, text, layout=None)
        assert len(figure.get_suptitle()) == len(text)
        assert rendered(figure).min() < 255  # something is drawn, and warnings are errors in this suite


def test_a_dollar_is_a_dollar(rendered):
    figure = style.styled(style.new_figure)(3, 1, r"$\nosuchcommand{$", layout=None)
    assert figure.get_suptitle() == r"$\nosuchcommand{$"
    assert rendered(figure).min() < 255


def test_a_figure_leaves_the_settings_of_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    figure = style.styled(style.new_figure)(3, 1, "title")
    style.save(figure, tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_a_figure_looks_the_same_whatever_the_settings_of_the_caller(tmp_path):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    style.save(style.styled(style.new_figure)(3, 1, "title"), paths[0])
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 40, "savefig.bbox": "tight", "font.family": "serif"}):
        style.save(style.styled(style.new_figure)(3, 1, "title"), paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def half_written(_figure, file):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", half_written)
    with pytest.raises(OSError, match="disk full"):
        style.save(style.new_figure(3, 1, "title"), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_figures_need_neither_pyplot_nor_keras_nor_the_rest_of_the_package():
    folder = Path(style.__file__).parent
    imported = {
        node.module
        for file in folder.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    ours = {name for name in imported if name.startswith("keras_cnn")}
    assert "keras_cnn.figures.style" in ours
    assert all(f"{name}.".startswith("keras_cnn.figures.") for name in ours - {"keras_cnn.messages"})
    code = (
        "import sys; from keras_cnn.figures import panels, ranking, sheets;"
        "print({'matplotlib.pyplot', 'keras', 'tensorflow', 'PIL.ImageTk'} & set(sys.modules))"
    )
    root = folder.parent.parent
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.strip() == "set()"
