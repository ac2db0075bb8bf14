"""Ranks that meet in threads of one process, over real connections."""

import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from keras_cnn.distribution.ranks import Ranks, meet
from keras_cnn.distribution.replicas import Replicas


def free_hosts(count: int) -> list[str]:
    """Free ports of this machine, as "host:port"."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    places = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return places


def all_of(calls: Sequence[Callable]) -> list:
    """The results of calls at one time, or their exceptions."""
    with ThreadPoolExecutor(len(calls)) as pool:
        futures = [pool.submit(call) for call in calls]
        return [future.exception() or future.result() for future in futures]


@contextmanager
def replicas_of_ranks(count: int) -> Iterator[list[Replicas]]:
    """One replica for each of so many ranks, which can exchange rows but not train together."""
    hosts = free_hosts(count)
    ranks: list[Ranks] = all_of([lambda rank=rank: meet(hosts, rank, {}, 20.0) for rank in range(count)])
    found = []
    for each in ranks:
        found.append(Replicas())
        found[-1].ranks = each
    try:
        yield found
    finally:
        for each in ranks:
            each.close()
