"""Ranks that meet in threads of one process, over real connections."""

import json
import os
import socket
import struct
import time
from contextlib import closing

import pytest

from keras_cnn.distribution.hosts import cluster
from keras_cnn.distribution.ranks import ALONE, Ranks, meet
from keras_cnn.errors import InputError, Stopped
from keras_cnn.training.loop import NotFinite
from tests.ranks_in_threads import all_of, free_hosts

VERSIONS = {"keras_cnn": "1", "tensorflow": "2"}


@pytest.fixture
def hosts() -> list[str]:
    return free_hosts(3)


OPEN = []


@pytest.fixture(autouse=True)
def closed_at_the_end():
    yield
    while OPEN:
        OPEN.pop().close()


def met(hosts, ranks=None, versions=None, wait=20.0):
    numbers = range(len(hosts)) if ranks is None else ranks
    said = versions or [VERSIONS] * len(hosts)
    results = all_of([lambda r=r, v=v: meet(hosts, r, v, wait) for r, v in zip(numbers, said, strict=True)])
    OPEN.extend(result for result in results if isinstance(result, Ranks))
    return results


def test_bytes_are_exchanged_in_the_order_of_the_ranks(hosts):
    ranks = met(hosts)
    payloads = [b"", b"\0" * 3_000_000, b"last"]
    answers = all_of([lambda r=r, p=p: r.exchange(p) for r, p in zip(ranks, payloads, strict=True)])
    assert answers == [payloads] * 3
    assert all_of([lambda r=r: r.any(r.rank == 2) for r in ranks]) == [True] * 3
    assert all_of([lambda r=r: r.any(False) for r in ranks]) == [False] * 3


def test_every_rank_names_the_field_in_which_one_differs(hosts):
    ranks = met(hosts)
    said = [{"seed": 1, "split": "a" * 64}, {"seed": 1, "split": "b" * 64}, {"seed": 1, "split": "a" * 64}]
    errors = all_of([lambda r=r, v=v: r.require_same(v) for r, v in zip(ranks, said, strict=True)])
    text = f"rank 1 ({hosts[1]}): split: found bbbbbbbbbbbb…, but rank 0 has aaaaaaaaaaaa…; expected the same on all"
    assert [str(error) for error in errors] == [text] * 3


def test_a_rank_that_ends_is_named_and_its_reason_told(hosts):
    first, second, third = met(hosts)
    for connection in second._connections.values():
        connection.close()
    with pytest.raises(Stopped, match=rf"stopped: rank 1 \({hosts[1]}\) has ended$"):
        first.exchange(b"")
    third._farewell(OSError("the disk is full"))
    assert str(first._has_ended(2)) == f"stopped: rank 2 ({hosts[2]}) has ended: the disk is full"
    assert first._has_ended(1)


def slowly(exchange):
    """An exchange whose answers this rank takes in long after the others have left."""

    def answers(payload):
        found = exchange(payload)
        time.sleep(1.0)
        return found

    return answers


def all_differ(ranks):
    ranks.require_same({"seed": ranks.rank})


def all_stop(ranks):
    ranks.any(True)
    time.sleep(1.0 if ranks.rank == 0 else 0.0)  # it writes a checkpoint
    raise NotFinite("the loss became nan")


def all_finish(ranks):
    pass


@pytest.mark.parametrize("ending", [all_differ, all_stop, all_finish])
def test_the_last_rank_at_an_end_that_all_share_ends_as_the_first(hosts, ending, monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    ranks = met(hosts)
    ranks[0].exchange = slowly(ranks[0].exchange)

    def run(ranks):
        with ranks.together():
            ending(ranks)

    errors = all_of([lambda r=r: run(r) for r in ranks])
    texts = {
        all_differ: f"rank 1 ({hosts[1]}): seed: found 1, but rank 0 has 0; expected the same on all",
        all_stop: "the loss became nan",
        all_finish: "None",
    }
    assert [str(error) for error in errors] == [texts[ending]] * 3
    assert (ended, capsys.readouterr().err) == ([], "")


def test_versions_must_agree(hosts):
    errors = met(hosts[:2], versions=[VERSIONS, VERSIONS | {"tensorflow": "3"}])
    assert [str(error) for error in errors] == [f"rank 1 ({hosts[1]}) has tensorflow 3, rank 0 2"] * 2


def test_two_processes_with_one_number(hosts):
    errors = met(hosts, ranks=[0, 1, 1])
    text = "rank: two processes call themselves rank 1; expected each of 0 to 2 once"
    assert [str(error) for error in errors] == [text] * 3


def test_other_lists_of_hosts(hosts):
    swapped = [hosts[0], hosts[2], hosts[1]]
    calls = [lambda: meet(hosts, 0, VERSIONS, 20), lambda: meet(swapped, 1, VERSIONS, 20)]
    assert all(f"rank 1 was given {','.join(swapped)}" in str(error) for error in all_of(calls))


def test_a_host_that_does_not_answer(hosts):
    with pytest.raises(InputError, match=rf"rank 1 \({hosts[1]}\), rank 2 .* did not answer within 0.3 s"):
        meet(hosts, 0, VERSIONS, 0.3)
    with pytest.raises(InputError, match=rf"rank 0 \({hosts[0]}\) did not answer within 0.3 s: Connection refused"):
        meet(hosts, 1, VERSIONS, 0.3)


def test_a_port_in_use(hosts):
    with closing(socket.socket()) as other:
        other.bind(("", int(hosts[1].rpartition(":")[2])))
        other.listen()
        with pytest.raises(InputError, match=rf"{hosts[1]}: port \d+ cannot be used on this host: Address already in"):
            meet(hosts, 1, VERSIONS, 1)
        with pytest.raises(InputError, match=rf"{hosts[1]}: port \d+ cannot be used on this host: Address already in"):
            meet(hosts[1:], 0, VERSIONS, 1)


def test_a_stranger_does_not_disturb(hosts):
    host, port = hosts[0].split(":")

    def after_strangers():
        for said in (b"GET / HTTP/1.1\r\n\r\n", struct.pack(">q", 2**40), struct.pack(">q", 2) + b"[]", b""):
            with closing(connected(host, int(port))) as stranger:
                stranger.sendall(said)
        return meet(hosts[:2], 1, VERSIONS, 20)

    first, second = all_of([lambda: meet(hosts[:2], 0, VERSIONS, 20), after_strangers])
    OPEN.extend([first, second])
    assert (first.count, second.rank) == (2, 1)


def connected(host: str, port: int) -> socket.socket:
    """A connection to a port that may not be open yet."""
    until = time.monotonic() + 20
    while True:
        try:
            return socket.create_connection((host, port), timeout=5)
        except OSError:
            assert time.monotonic() < until


def test_one_process_is_alone():
    assert ALONE.any(True)
    assert not ALONE.any(False)
    ALONE.require_same({"seed": 1})


def test_hosts_from_the_command_line_and_from_tf_config():
    environment = {}
    assert cluster("a:1, b:2", 1, environment) == (["a:1", "b:2"], 1)
    assert json.loads(environment["TF_CONFIG"])["task"] == {"type": "worker", "index": 1}
    assert cluster(None, None, environment) == (["a:1", "b:2"], 1)
    chief = {"cluster": {"chief": ["c:1"], "worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
    assert cluster(None, None, {"TF_CONFIG": json.dumps(chief)}) == (["c:1", "a:1", "b:2"], 2)
    assert cluster(None, None, {}) is None
    assert cluster("a:1", 0, {}) is None


@pytest.mark.parametrize(
    ("hosts", "rank", "text", "message"),
    [
        (None, 1, "", "--rank 1 without --hosts"),
        ("a:1,b:2", None, "", "--hosts without --rank: expected --rank 0 to 1"),
        ("a:1,b:2", 2, "", "--rank 2: expected 0 to 1, as --hosts has 2"),
        ("a:1,b", 0, "", "--hosts: found 'b', expected host:port, such as node1:2222"),
        ("a:1,b:70000", 0, "", "found 'b:70000', expected host:port"),
        ("a:1,a:1", 0, "", "--hosts: a:1 is named twice; expected another port"),
        (None, None, "{", "TF_CONFIG: found {, expected JSON such as"),
        (
            None,
            None,
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 3}}',
            "worker 3, which is not",
        ),
        (
            None,
            None,
            '{"cluster": {"worker": ["a:1"], "ps": []}, "task": {"type": "ps", "index": 0}}',
            "found ps, expected",
        ),
    ],
)
def test_hosts_that_are_not_understood(hosts, rank, text, message):
    with pytest.raises(InputError, match=message):
        cluster(hosts, rank, {"TF_CONFIG": text} if text else {})
