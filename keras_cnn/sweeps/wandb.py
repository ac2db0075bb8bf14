"""W&B's server as the engine of a sweep: it says what to try and what to stop, and the workers are its agents.

The folder, the locks and the retries are those of a sweep of ours; only the settings come from elsewhere. A process is
an agent by W&B's own protocol (`wandb/agents/pyagent.py` of wandb 0.31): it registers, its heartbeats are answered
with commands, and the environment says which run is which trial's. `wandb.agent` itself would train in a thread, where
no signal can be heeded.
"""

import os
import platform
import socket
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from keras_cnn.config import TrackingConfig
from keras_cnn.errors import InputError, Stopped
from keras_cnn.messages import logger
from keras_cnn.sweeps.space import Sweep
from keras_cnn.sweeps.study import Study, Trial, TrialLease
from keras_cnn.tracking import INIT_SECONDS, _mode, _reason

SECONDS = 5  # between two heartbeats of an agent that waits for something to do, as W&B has it


def create(sweep: Sweep, tracking: TrackingConfig) -> str | None:
    """The sweep "entity/project/id" on W&B's server; None where it is to be run here, as said in one line.

    That is without a key, with tracking off or offline, where the server cannot be reached or refuses the sweep, and
    for what it has no word for: repeats, and a grid in random order.
    """
    if not is_online(tracking):
        return None
    if not has_word_for(sweep):
        logger.info(
            "W&B: its server knows neither repeats nor a random order; the sweep is run here and mirrored there"
        )
        return None
    import wandb

    server = wandb.setup().settings.base_url
    if not _is_reachable(server):
        logger.info(f"W&B: {server} cannot be reached; the sweep is run here")
        return None
    entity, project = sweep.entity or tracking.entity, sweep.project or tracking.project
    try:
        identity = wandb.sweep(dict(sweep.definition), entity=entity, project=project)
        return f"{entity or wandb.Api().default_entity}/{project}/{identity}"
    except Exception as error:  # of any kind, as in tracking
        logger.info(f"W&B: no sweep on its server ({_reason(error)}); the sweep is run here")
        return None


def is_online(tracking: TrackingConfig) -> bool:
    """Whether the sweep's runs are to be mirrored to W&B's server."""
    if tracking.wandb == "off" or os.environ.get("WANDB_MODE") == "disabled":
        return False
    return _mode(tracking.wandb) == "online"


def has_word_for(sweep: Sweep) -> bool:
    """Whether W&B's server can run the sweep."""
    return sweep.repeats == 1 and sweep.order == "given"


def _is_reachable(server: str) -> bool:
    """Whether the server takes a connection: wandb itself tries for 20 s. Behind a proxy only wandb can tell."""
    where = urllib.parse.urlsplit(server)
    if urllib.request.getproxies().get(where.scheme):
        return True
    try:
        port = where.port or {"http": 80}.get(where.scheme, 443)
        socket.create_connection((where.hostname, port), timeout=INIT_SECONDS).close()
    except OSError:
        return False
    return True


class Server:
    """One agent of a sweep on the server. Raises Stopped where the server cannot be reached."""

    def __init__(self, study: Study):
        self._study, self._left = study, False
        self._entity, self._project, self._sweep = study.wandb_sweep.split("/")
        os.environ |= {
            "WANDB_ENTITY": self._entity,
            "WANDB_PROJECT": self._project,
            "WANDB_SWEEP_ID": self._sweep,
        }
        import wandb
        from wandb.apis.public import sweeps

        where = {"sweep_id": self._sweep, "entity": self._entity, "project": self._project}
        self._api = wandb.Api()
        try:
            self._agent = sweeps._register_agent(self._api, platform.node(), **where)["id"]
        except Exception as error:  # of any kind, as in tracking
            raise Stopped(f"W&B: {study.wandb_sweep} cannot be reached ({_reason(error)})") from error

    def claim(self, interrupted: Callable[[], bool]) -> TrialLease | None:
        """A trial that was left, else what the server wants to be tried; None where it wants nothing more."""
        claim = self._study.claim_left()
        if claim is None and (order := self._order(interrupted)) is not None:
            claim = self._study.begin(_assignment(order["args"], self._study.sweep), order["run_id"])
        if claim is not None:
            self._point_to(claim.trial)
        return claim

    def stops(self, trial: Trial, history: list[dict]) -> bool:
        """Whether the server wants the trial to end. It has the history from the run itself."""
        commands = self._heartbeat({trial.wandb_run: True})
        return any(c["type"] == "stop" and c.get("run_id") == trial.wandb_run for c in commands)

    def _order(self, interrupted: Callable[[], bool]) -> dict | None:
        while not interrupted():
            for command in self._heartbeat({}):
                if command["type"] in ("run", "resume"):
                    return command
            if self._left:
                return None
            time.sleep(SECONDS)
        return None

    def _heartbeat(self, running: dict[str, bool]) -> list[dict[str, Any]]:
        from wandb.apis.public import sweeps
        from wandb.sdk.sweeps import SweepNotFoundError

        try:
            commands = sweeps._agent_heartbeat(self._api, self._agent, {}, running)
        except SweepNotFoundError:
            raise Stopped(f"W&B: the sweep {self._study.wandb_sweep} is no longer on the server") from None
        self._left = self._left or any(command["type"] == "exit" for command in commands)
        return commands

    def _point_to(self, trial: Trial) -> None:
        """Tells W&B, which reads the environment once, of which of the sweep's runs the next `wandb.init` is."""
        import wandb

        path = self._study.folder / "wandb" / f"{trial.wandb_run}.yaml"
        path.parent.mkdir(exist_ok=True)
        values = {name: {"value": value} for name, value in trial.assignment.items()}
        path.write_text(yaml.safe_dump({"wandb_version": 1} | values), encoding="utf-8")
        os.environ |= {"WANDB_RUN_ID": trial.wandb_run, "WANDB_SWEEP_PARAM_PATH": str(path.resolve())}
        wandb.teardown()
        self._api = wandb.Api()  # the teardown has closed the one before


def _assignment(arguments: Mapping[str, Mapping[str, Any]], sweep: Sweep) -> dict[str, Any]:
    """The server's {name: {"value": ...}}, nested as the file was, by the dotted names of the sweep's parameters."""
    found: dict[str, Any] = {}

    def walk(name: str, value: Any) -> None:
        if name in sweep.parameters:
            found[name] = value
        elif isinstance(value, dict):
            for below, inner in value.items():
                walk(f"{name}.{below}", inner)

    for name, entry in arguments.items():
        walk(name, entry["value"])
    if missing := sorted(set(sweep.parameters) - set(found)):
        raise InputError(f"W&B: the server gave no value for {', '.join(missing)}; found {sorted(arguments)}")
    return {name: found[name] for name in sweep.parameters}
