import os
from collections import Counter

import pytest

from keras_cnn.data.walking import ignored_text, images_in, subfolders, walk
from keras_cnn.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in (
        *("b.JPG", "a/z.png", "a/y.tiff", "a-b/x.webp", ".hidden/x.png", "a/._z.png", "a/.x.png", "a/Thumbs.db"),
        *("notes.txt", "a/README", "c.heic", "__MACOSX/x.png"),
    ):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"x")
    return tmp_path / "set"


def test_images_are_found_in_one_order_and_the_rest_is_counted(folder):
    ignored = Counter()
    assert list(walk(folder, ignored)) == ["a/y.tiff", "a/z.png", "a-b/x.webp", "b.JPG"]
    assert ignored == {"hidden or system files": 5, ".txt": 1, "without extension": 1, ".heic": 1}
    assert ignored_text(ignored) == "1 .heic, 1 .txt, 5 hidden or system files, 1 without extension"
    assert [path.name for path in subfolders(folder)] == ["a", "a-b"]
    assert images_in(folder) == ["b.JPG"]


def test_other_extensions_can_be_wanted(folder):
    assert list(walk(folder, Counter(), {".txt"})) == ["notes.txt"]


def test_links_are_followed_and_what_only_looks_like_an_image_is_left_to_the_reader(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "k.png").write_bytes(b"x")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(folder / "pipe.jpg")
    assert {"link/k.png", "gone.png", "pipe.jpg"} <= set(walk(folder, Counter()))
    (folder / "a" / "up").symlink_to(folder)
    with pytest.raises(InputError, match="up: a link that leads back to a folder above it"):
        list(walk(folder, Counter()))
