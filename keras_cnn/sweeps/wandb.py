"""W&B's server as the engine of a sweep: it chooses trials and stops them, and the workers are its agents.

The folder, the locks and the retries are those of a local sweep; only the settings come from the server. A process is
an agent in W&B's own protocol (`wandb/agents/pyagent.py` of wandb 0.31): it registers, the server answers its
heartbeats with commands, and environment variables name the run of each trial. `wandb.agent` itself would train in a
thread, where no signal can be handled.
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

SECONDS = 5  # between two heartbeats of an agent that waits for something to do, as in W&B


def create(sweep: Sweep, tracking: TrackingConfig) -> str | None:
    """Creates "entity/project/id" on W&B's server; None if this machine runs the sweep, with a message that says why.

    This machine runs it without a key, with tracking off or offline, if the server cannot be reached or refuses the
    sweep, and for what the server does not support: repeats, and a grid in random order.
    """
    if not is_online(tracking):
        return None
    if not is_supported_by_server(sweep):
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
    """Whether the sweep's runs are mirrored to W&B's server."""
    if tracking.wandb == "off" or os.environ.get("WANDB_MODE") == "disabled":
        return False
    return _mode(tracking.wandb) == "online"


def is_supported_by_server(sweep: Sweep) -> bool:
    """Whether W&B's server can run the sweep."""
    return sweep.repeats == 1 and sweep.order == "given"


def _is_reachable(server: str) -> bool:
    """Whether the server accepts a connection; wandb itself tries for 20 s. Behind a proxy only wandb can tell."""
    where = urllib.parse.urlsplit(server)
    if urllib.request.getproxies().get(where.scheme):
        return True
    try:
        port = where.port or {"http": 80}.get(where.scheme, 443)
        socket.create_connection((where.hostname, port), timeout=INIT_SECONDS).close()
    except OSError:
        return False
    return True


class ServerEngine:
    """An agent of a sweep on W&B's server. Raises Stopped if the server cannot be reached."""

    def __init__(self, study: Study):
        self._study, self._left = study, False
        self._entity, self._project, self._sweep = str(study.wandb_sweep).split("/")
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

    def lease(self, interrupted: Callable[[], bool]) -> TrialLease | None:
        """An abandoned trial, else the server's next one; None if the server has no more."""
        lease = self._study.lease_abandoned()
        if lease is None and (command := self._next_command(interrupted)) is not None:
            lease = self._study.begin(_settings(command["args"], self._study.sweep), command["run_id"])
        if lease is not None:
            self._select_run(lease.trial)
        return lease

    def stops(self, trial: Trial, history: list[dict]) -> bool:
        """Whether the server ends the trial early; the run itself sends it the history."""
        commands = self._heartbeat({trial.wandb_run: True})
        return any(c["type"] == "stop" and c.get("run_id") == trial.wandb_run for c in commands)

    def _next_command(self, interrupted: Callable[[], bool]) -> dict | None:
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

    def _select_run(self, trial: Trial) -> None:
        """Makes the next `wandb.init` open the trial's run. W&B reads the environment once, so it is set up anew."""
        import wandb

        path = self._study.folder / "wandb" / f"{trial.wandb_run}.yaml"
        path.parent.mkdir(exist_ok=True)
        values = {name: {"value": value} for name, value in trial.assignment.items()}
        path.write_text(yaml.safe_dump({"wandb_version": 1} | values), encoding="utf-8")
        os.environ |= {"WANDB_RUN_ID": trial.wandb_run, "WANDB_SWEEP_PARAM_PATH": str(path.resolve())}
        wandb.teardown()
        self._api = wandb.Api()  # the teardown closed the previous one


def _settings(arguments: Mapping[str, Mapping[str, Any]], sweep: Sweep) -> dict[str, Any]:
    """{dotted name: value} of the parameters, from the server's {name: {"value": ...}}, nested as the file is."""
    values: dict[str, Any] = {}

    def walk(name: str, value: Any) -> None:
        if name in sweep.parameters:
            values[name] = value
        elif isinstance(value, dict):
            for below, inner in value.items():
                walk(f"{name}.{below}", inner)

    for name, entry in arguments.items():
        walk(name, entry["value"])
    if missing := sorted(set(sweep.parameters) - set(values)):
        raise InputError(f"W&B: the server gave no value for {', '.join(missing)}; found {sorted(arguments)}")
    return {name: values[name] for name in sweep.parameters}
