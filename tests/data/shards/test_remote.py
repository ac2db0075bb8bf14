import os

import numpy as np
import pytest

from keras_cnn.data.shards import remote
from keras_cnn.data.shards.remote import RemoteFile
from keras_cnn.errors import InputError, Stopped
from tests.data.shards.range_server import RangeServer

DATA = np.random.default_rng(0).integers(0, 256, 10_000, np.uint8).tobytes()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "BLOCK", 4096)
    monkeypatch.setattr(remote, "PAUSES", (0, 0, 0))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.tar").write_bytes(DATA)
    with RangeServer(tmp_path / "store").running() as server:
        yield server


def test_slices_come_through_blocks_that_are_read_once(server, tmp_path):
    file = RemoteFile(f"{server.url}/a.tar", tmp_path)
    assert len(file) == 10_000
    assert file[4000:4200] == DATA[4000:4200]
    assert file[9_990:20_000] == DATA[9_990:]
    assert file[50:50] == b""
    assert server.reads == [("/a.tar", 0, 4095), ("/a.tar", 4096, 8191), ("/a.tar", 8192, 9999)]
    again = RemoteFile(f"{server.url}/a.tar", tmp_path)  # as another process
    assert again[0:10_000] == DATA
    assert len(server.reads) == 3
    (tmp_path / "store" / "a.tar").write_bytes(DATA[::-1])
    assert RemoteFile(f"{server.url}/a.tar", tmp_path)[0:10_000] == DATA[::-1]


def test_a_read_that_fails_halfway_is_repeated_then_the_command_stops(server, tmp_path, messages):
    file = RemoteFile(f"{server.url}/a.tar", tmp_path)
    server.failures = ["cut", "busy", "cut"]
    assert file[0:10] == DATA[:10]
    assert len(messages) == 3
    server.failures = ["cut"] * 4
    with pytest.raises(Stopped) as stopped:
        file[5000:5010]
    assert str(stopped.value).startswith(f"{server.url}/a.tar: not read in 4 attempts (")
    assert str(stopped.value).endswith("the same command goes on")
    assert list((tmp_path / "remote").rglob("*.partial")) == []
    assert file[0:5010] == DATA[:5010]


def test_a_store_that_cannot_be_used_is_named(server, tmp_path):
    file = RemoteFile(f"{server.url}/a.tar", tmp_path)
    server.failures = ["whole"]
    with pytest.raises(InputError, match="answers a ranged read with more; expected one with ranged reads"):
        file[0:10]
    with pytest.raises(InputError, match=r"b.tar: no such file"):
        RemoteFile(f"{server.url}/b.tar", tmp_path)
    with pytest.raises(InputError, match=r"nowhere://x: .*expected https, s3, gs, file or memory"):
        RemoteFile("nowhere://x", tmp_path)
    assert remote.read_whole(f"{server.url}/classes.txt", 100) is None
    assert remote.read_whole(f"{server.url}/a.tar", 10_000) == DATA
    with pytest.raises(InputError, match=r"a\.tar: 10,000 bytes, more than 9,999$"):
        remote.read_whole(f"{server.url}/a.tar", 9_999)


def test_a_store_is_asked_four_times_with_longer_and_longer_pauses(monkeypatch, messages):
    waited, asked = [], []
    monkeypatch.setattr(remote.time, "sleep", waited.append)

    def fail() -> None:
        asked.append(1)
        raise ValueError("x" * 200)

    with pytest.raises(Stopped, match=rf"^u: not read in 4 attempts \({'x' * 160}\); what was read is kept"):
        remote._attempted("u", fail)
    assert (waited, len(asked)) == ([1, 3, 9], 4)
    assert " ".join(messages).split()[-7:] == ["the", "next", "attempt", "is", "in", "9", "s"]
    for error, message in ((PermissionError("key"), "u: may not be read: key; expected valid credentials"),
                           (FileNotFoundError(), "u: no such file")):  # fmt: skip
        with pytest.raises(InputError, match=message):
            remote._attempted("u", lambda error=error: (_ for _ in ()).throw(error))
    assert len(waited) == 3


def test_any_protocol_of_fsspec_does(tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(remote, "BLOCK", 4096)
    memory = fsspec.filesystem("memory")
    for number in range(3):
        memory.pipe_file(f"/bucket/train-{number}.tar", DATA)
    (tmp_path / "a.tar").write_bytes(DATA)
    try:
        for url in ("memory://bucket/train-0.tar", (tmp_path / "a.tar").as_uri()):
            assert RemoteFile(url, tmp_path / "cache")[4000:9000] == DATA[4000:9000]
        before = RemoteFile((tmp_path / "a.tar").as_uri(), tmp_path / "cache").version
        (tmp_path / "a.tar").write_bytes(DATA)
        os.utime(tmp_path / "a.tar", ns=(0, 0))  # of the same size
        assert RemoteFile((tmp_path / "a.tar").as_uri(), tmp_path / "cache").version != before
        assert remote.matching("memory://bucket/train-[01].tar") == [
            "memory:///bucket/train-0.tar",
            "memory:///bucket/train-1.tar",
        ]
    finally:
        memory.rm("/bucket", recursive=True)


def test_a_protocol_without_its_package_names_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match=r"^s3://b/a.tar: the protocol s3 needs another package: pip install s3fs$"):
        RemoteFile("s3://b/a.tar", tmp_path)
