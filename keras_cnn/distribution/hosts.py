"""The hosts of a run, from the command line or from TF_CONFIG, as Slurm's, Kubernetes's or ssh's scripts set it."""

import json
import os
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from keras_cnn.errors import InputError

TF_CONFIG = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'


def cluster(
    hosts: str | None, rank: int | None, environment: MutableMapping[str, str] = os.environ
) -> tuple[list[str], int] | None:
    """The "host:port" of every process by rank, and the rank of this one; None for a run of one process.

    `hosts` is "a:port,b:port"; without it, TF_CONFIG counts. Sets TF_CONFIG, which TensorFlow reads. Raises InputError
    if they are not understood.
    """
    if hosts is None:
        if rank is not None:
            raise InputError(f"command line: --rank {rank} without --hosts: expected --hosts a:port,b:port with it")
        return _from_environment(environment)
    places = [place.strip() for place in hosts.split(",") if place.strip()]
    _check(places, "--hosts")
    if rank is None:
        raise InputError(f"command line: --hosts without --rank: expected --rank 0 to {len(places) - 1}")
    if not 0 <= rank < len(places):
        raise InputError(f"command line: --rank {rank}: expected 0 to {len(places) - 1}, as --hosts has {len(places)}")
    if len(places) == 1:
        return None
    task = {"cluster": {"worker": places}, "task": {"type": "worker", "index": rank}}
    environment[TF_CONFIG] = json.dumps(task)
    return places, rank


def _from_environment(environment: Mapping[str, str]) -> tuple[list[str], int] | None:
    if not (text := environment.get(TF_CONFIG, "").strip()):
        return None
    try:
        content: Any = json.loads(text)
        named, task = content["cluster"], content["task"]
        kind, index = task["type"], int(task["index"])
        workers, chiefs = list(named.get("worker", [])), list(named.get("chief", []))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InputError(f"{TF_CONFIG}: found {text[:80]}, expected JSON such as {_EXAMPLE}") from None
    if others := set(named) - {"worker", "chief"}:
        raise InputError(f"{TF_CONFIG}: cluster: found {sorted(others)[0]}, expected worker and perhaps a chief")
    places = [*chiefs, *workers]
    _check(places, TF_CONFIG)
    rank = index + (len(chiefs) if kind == "worker" else 0)
    if kind not in ("worker", "chief") or not 0 <= index < len(workers if kind == "worker" else chiefs):
        raise InputError(f"{TF_CONFIG}: task: found {kind} {index}, which is not in its cluster")
    return (places, rank) if len(places) > 1 else None


def _check(places: list[str], where: str) -> None:
    for place in places:
        port = re.fullmatch(r".+:(\d{1,5})", place) if isinstance(place, str) else None
        if not port or not 0 < int(port[1]) < 65536:
            raise InputError(f"{where}: found {place!r}, expected host:port, such as node1:2222")
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise InputError(f"{where}: {twice} is named twice; expected another port for each process of one host")
    if not places:
        raise InputError(f"{where}: names no host; expected a:port,b:port")
