import os
from pathlib import Path

import pytest

from keras_cnn.data.audit import default_cache_dir
from keras_cnn.data.user_files import located, read_text, user_path
from keras_cnn.errors import InputError


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_with_and_without_a_byte_order_mark(tmp_path, encoding):
    (tmp_path / "x.txt").write_text("été\n汽车\n", encoding=encoding)
    assert read_text(tmp_path / "x.txt", "names") == "été\n汽车\n"
    assert read_text(tmp_path / "x.txt", "names", limit=(tmp_path / "x.txt").stat().st_size) == "été\n汽车\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("car 汽车".encode("gbk"), "cannot read the names: it is not UTF-8 text (byte 0xc6 at position 4)"),
        ("été".encode("latin-1"), "it is not UTF-8 text (byte 0xe9 at position 0)"),
        (b"\xff\xfea", "it is not UTF-8 text"),
        (b"car\0bus", "it is not text (it holds zero bytes)"),
        (b"x" * 101, "101 bytes, more than 100"),
        (b"\x1f\x8b\x08\0", "it is a compressed file; unpack it first"),
    ],
)
def test_other_bytes_are_named(tmp_path, data, message):
    (tmp_path / "x.txt").write_bytes(data)
    with pytest.raises(InputError) as error:
        read_text(tmp_path / "x.txt", "names", limit=100)
    assert str(error.value).startswith(f"{tmp_path}/x.txt: ")
    assert message in str(error.value)


def test_pipes_and_missing_files_are_named_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "not a regular file"), ("gone", "No such file"), (".", "not a regular file")):
        with pytest.raises(InputError, match=f"cannot read the names: {reason}"):
            read_text(tmp_path / name, "names")


def test_a_home_folder_that_is_not_known_is_named(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/photos") == Path("/home/me/photos")
    with pytest.raises(InputError, match=r"^~nobody-of-this-name/a: no home folder is known for ~nobody-of-this-name"):
        user_path("~nobody-of-this-name/a")
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user of a container without an entry
    with pytest.raises(InputError, match=r"no home folder is known for ~; write"):
        default_cache_dir()


def test_a_relative_path_is_told_with_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located(Path("photos")) == f"photos (in {tmp_path})"
    assert located(tmp_path) == str(tmp_path)
