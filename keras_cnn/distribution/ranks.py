"""The processes of a run on several hosts: how they meet, exchange bytes, and notice that one has ended.

TensorFlow notices a lost process late, and then ends the others without a word. Rank 0 therefore keeps one TCP
connection to each other rank, which the system closes at once when a process dies.
"""

import contextlib
import json
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras_cnn.errors import InputError, Stopped, explained

MAGIC = "keras_cnn ranks 1"
WAIT = 120.0  # seconds that a process waits for the others
_HEADER = struct.Struct(">q")  # length of a message; negative: a farewell
_HELLO_BYTES = 2**20
_POLL = 0.2  # seconds between two looks at the connections
_GRACE = 600.0  # seconds in which this process ends by itself after another said that all end


class Ranks:
    """The processes of a run: this one's number among `count`, 0 being the one that writes the run folder."""

    def __init__(self, rank: int = 0, count: int = 1, hosts: Sequence[str] = ()):
        self.rank, self.count, self.hosts = rank, count, tuple(hosts)
        self._connections: dict[int, socket.socket] = {}  # by rank; all but rank 0 have one, to rank 0
        self._ended = threading.Event()
        self._exchanging = threading.RLock()
        self.release: Callable[[], None] = lambda: None  # called before the process ends because another is lost
        self.way_on: Callable[[], str] = lambda: ""  # the command that goes on; "" if nothing has been begun

    def exchange(self, payload: bytes) -> list[bytes]:
        """The payloads of all ranks, in order. If a rank has ended, raises InputError for wrong input, else Stopped."""
        with self._exchanging:
            if self.rank == 0:
                payloads = [payload, *(self._receive(rank) for rank in sorted(self._connections))]
                for rank in sorted(self._connections):
                    for each in payloads:
                        self._send(rank, each)
                return payloads
            self._send(0, payload)
            return [self._receive(0) for _ in range(self.count)]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return flag if self.count == 1 else any(each == b"1" for each in self.exchange(b"1" if flag else b"0"))

    def require_same(self, values: dict[str, Any]) -> None:
        """Raises InputError on every rank, naming the first field and rank, unless all have the same values."""
        if self.count == 1:
            return
        own, *others = (json.loads(each) for each in self.exchange(json.dumps(values).encode()))
        for rank, other in enumerate(others, 1):
            for name in own:
                if other.get(name) != own[name]:
                    error = InputError(
                        f"rank {rank} ({self.hosts[rank]}): {name}: found {_shown(other.get(name))}, but rank 0 has"
                        f" {_shown(own[name])}; expected the same on all"
                    )
                    error.on_all_ranks = True
                    raise error

    def silence(self, reason: str) -> Stopped:
        """Stopped for an operation of TensorFlow that failed because a rank no longer answers.

        If a rank has ended, the watcher names it, and ends this process, in the meantime.
        """
        self._ended.wait(5 * _POLL)
        return Stopped(f"stopped: another rank no longer answers ({reason})")

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Watches the other ranks inside the block; the block ends on all ranks or on none."""
        if self.count == 1:
            yield
            return
        watcher = threading.Thread(target=self._watch, name="ranks", daemon=True)
        watcher.start()
        try:
            yield
            with self._exchanging:
                self.exchange(b"")  # nobody leaves while another still needs it
                self._ended.set()  # before the watcher can see that another has left
        except BaseException as error:
            if isinstance(error, InputError | Stopped):
                self._ended.set()
            else:
                time.sleep(5 * _POLL)  # TensorFlow may have noticed a lost process before the watcher does
            self._farewell(error)
            raise
        finally:
            self._ended.set()
            watcher.join()
            self.close()

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._connections.values():
            connection.close()

    def _watch(self) -> None:
        """Ends this process if another one has ended; the main thread may wait for it inside TensorFlow forever."""
        while not self._ended.wait(_POLL):
            if not self._exchanging.acquire(blocking=False):  # an exchange notices it itself
                continue
            try:
                lost = next(filter(None, map(self._has_ended, sorted(self._connections))), None)
            finally:
                self._exchanging.release()
            if lost and not self._ended.is_set():
                self._end_process(lost)

    def _has_ended(self, rank: int) -> InputError | Stopped | None:
        connection = self._connections[rank]
        readable, _, _ = select.select([connection], [], [], 0)
        if not readable:
            return None
        try:
            begin = connection.recv(_HEADER.size, socket.MSG_PEEK)
        except OSError as error:
            return self._lost(rank, str(error))
        if not begin:
            return self._lost(rank)
        if len(begin) == _HEADER.size and _HEADER.unpack(begin)[0] < 0:
            try:
                self._receive(rank)
            except (InputError, Stopped) as lost:
                return lost
        return None

    def _end_process(self, lost: InputError | Stopped) -> None:
        if lost.on_all_ranks and self._ended.wait(_GRACE):
            return  # this process has ended as the other did
        if self.rank == 0:  # the others cannot see each other
            self._farewell(lost)
        with contextlib.suppress(Exception):
            self.release()
        if isinstance(lost, Stopped) and self.way_on():
            lost.add_note(f"go on with: {self.way_on()}")
        lines, status = explained(lost)
        print(*lines, sep="\n", file=sys.stderr, flush=True)
        os._exit(status)

    def _lost(self, rank: int, reason: str = "") -> Stopped:
        return Stopped(f"stopped: rank {rank} ({self.hosts[rank]}) has ended{f': {reason}' if reason else ''}")

    def _left(self, rank: int, said: dict[str, Any]) -> InputError | Stopped:
        """The error for the farewell of a rank: wrong input is wrong for all, and the first to see it names it."""
        if said["wrong_input"]:
            whose = "" if said["reason"].startswith("rank ") else f"rank {rank} ({self.hosts[rank]}): "
            error = InputError(f"{whose}{said['reason']}")
        else:
            error = self._lost(rank, said["reason"])
        error.on_all_ranks = said["on_all_ranks"]
        return error

    # --- messages ---

    def _send(self, rank: int, payload: bytes) -> None:
        try:
            self._connections[rank].sendall(_HEADER.pack(len(payload)) + payload)
        except OSError as error:
            raise self._lost(rank, error.strerror or str(error)) from None

    def _receive(self, rank: int) -> bytes:
        [length] = _HEADER.unpack(self._read(rank, _HEADER.size))
        payload = self._read(rank, abs(length))
        if length < 0:
            raise self._left(rank, json.loads(payload))
        return payload

    def _read(self, rank: int, length: int) -> bytes:
        parts, missing = [], length
        while missing:
            try:
                part = self._connections[rank].recv(min(missing, 2**20))
            except OSError as error:
                raise self._lost(rank, error.strerror or str(error)) from None
            if not part:
                raise self._lost(rank)
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _farewell(self, error: BaseException) -> None:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        said = {"reason": reason.removeprefix("stopped: "), "wrong_input": isinstance(error, InputError)}
        said["on_all_ranks"] = isinstance(error, InputError | Stopped) and error.on_all_ranks
        payload = json.dumps(said).encode()
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.sendall(_HEADER.pack(-len(payload)) + payload)


ALONE = Ranks()


def _shown(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else repr(value)


def meet(hosts: Sequence[str], rank: int, versions: dict[str, str], wait: float = WAIT) -> Ranks:
    """Connects the processes; each calls it with the same `hosts` ("host:port" by rank) and its own rank.

    Raises InputError if a port is in use, a process does not answer within `wait` seconds, or two of them do not agree.
    """
    ranks = Ranks(rank, len(hosts), hosts)
    hello = {"magic": MAGIC, "rank": rank, "hosts": list(hosts), "versions": versions}
    try:
        if rank == 0:
            _gather(ranks, hello, wait)
        else:
            _port_is_free(hosts[rank])
            _join(ranks, hello, wait)
    except BaseException:
        ranks.close()
        raise
    for connection in ranks._connections.values():
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, seconds in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), seconds)
    return ranks


def _listener(host: str) -> socket.socket:
    """A socket that listens on the port of "host:port". Raises InputError if it is in use."""
    port = int(host.rpartition(":")[2])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TensorFlow binds the port next
    try:
        listener.bind(("", port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise InputError(f"hosts: {host}: port {port} cannot be used on this host: {error.strerror}") from None
    return listener


def _port_is_free(host: str) -> None:
    _listener(host).close()


def _gather(ranks: Ranks, hello: dict, wait: float) -> None:
    """Rank 0: accepts the other ranks, and tells all of them whether they agree."""
    until, refused = time.monotonic() + wait, None
    with _listener(ranks.hosts[0]) as listener:
        while len(ranks._connections) < ranks.count - 1 and refused is None:
            listener.settimeout(max(0.01, until - time.monotonic()))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                missing = [rank for rank in range(1, ranks.count) if rank not in ranks._connections]
                named = ", ".join(f"rank {rank} ({ranks.hosts[rank]})" for rank in missing)
                refused = f"hosts: {named} did not answer within {wait:g} s"
                break
            other = _read_hello(connection)
            if other is None:
                connection.close()
                continue
            refused = _disagreement(ranks, hello, other)
            if refused:
                _answer(connection, refused)
                connection.close()
            else:
                ranks._connections[other["rank"]] = connection
    for connection in ranks._connections.values():
        _answer(connection, refused)
    if refused:
        raise InputError(refused)


def _disagreement(ranks: Ranks, own: dict, other: dict) -> str | None:
    rank = other["rank"]
    if other["hosts"] != own["hosts"]:
        return f"hosts: rank {rank} was given {','.join(map(str, other['hosts']))}, rank 0 {','.join(own['hosts'])}"
    if rank in ranks._connections or not 0 < rank < ranks.count:
        return f"rank: two processes call themselves rank {rank}; expected each of 0 to {ranks.count - 1} once"
    for name, version in own["versions"].items():
        if other["versions"].get(name) != version:
            return f"rank {rank} ({ranks.hosts[rank]}) has {name} {other['versions'].get(name)}, rank 0 {version}"
    return None


def _join(ranks: Ranks, hello: dict, wait: float) -> None:
    """Another rank: connects to rank 0, which may begin later, and waits until all are there."""
    host, _, port = ranks.hosts[0].rpartition(":")
    until = time.monotonic() + wait
    connection = None
    while connection is None:
        try:
            connection = socket.create_connection(
                (host.strip("[]"), int(port)), timeout=max(0.1, until - time.monotonic())
            )
        except OSError as error:
            if time.monotonic() + _POLL > until:
                reason = error.strerror or str(error)
                raise InputError(
                    f"hosts: rank 0 ({ranks.hosts[0]}) did not answer within {wait:g} s: {reason}"
                ) from None
            time.sleep(_POLL)
    connection.settimeout(wait + 10)
    ranks._connections[0] = connection
    ranks._send(0, json.dumps(hello).encode())
    try:
        answer = json.loads(ranks._receive(0))
    except (Stopped, ValueError):
        raise InputError(f"hosts: rank 0 ({ranks.hosts[0]}) has ended before all ranks were there") from None
    if answer["refused"]:
        raise InputError(answer["refused"])


def _read_hello(connection: socket.socket) -> dict | None:
    """The first message of another rank; None for anything else."""
    connection.settimeout(10)
    reader = Ranks(0, 2, ("", "a stranger"))
    reader._connections[1] = connection
    try:
        [length] = _HEADER.unpack(connection.recv(_HEADER.size, socket.MSG_PEEK | socket.MSG_WAITALL))
        if not 0 < length < _HELLO_BYTES:
            return None
        hello = json.loads(reader._receive(1))
    except (OSError, Stopped, ValueError, struct.error):
        return None
    kinds = {"magic": str, "rank": int, "hosts": list, "versions": dict}
    right = isinstance(hello, dict) and all(isinstance(hello.get(name), kind) for name, kind in kinds.items())
    return hello if right and hello["magic"] == MAGIC else None


def _answer(connection: socket.socket, refused: str | None) -> None:
    payload = json.dumps({"refused": refused}).encode()
    with contextlib.suppress(OSError):
        connection.sendall(_HEADER.pack(len(payload)) + payload)
