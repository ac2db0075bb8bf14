"""W&B's server as the engine, against a stand-in for the functions of wandb that talk to it.

That the server answers as the stand-in does is taken from wandb's own agent (`wandb/agents/pyagent.py`), not tested.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import wandb as package
import yaml
from wandb.apis.public import sweeps
from wandb.sdk.sweeps import SweepNotFoundError

from keras_cnn.config import TrackingConfig
from keras_cnn.errors import InputError, Stopped
from keras_cnn.run_folder import HISTORY_COLUMNS
from keras_cnn.sweeps import sweep_file, wandb, worker
from keras_cnn.sweeps.study import Study

SWEEP = """
method: random
run_cap: 3
name: mine
project: shells
metric: {name: val_accuracy, goal: maximize}
parameters:
  lr: {min: 1e-4, max: 1e-2}
  model.filters: {values: [4, 8]}
  optim: {parameters: {momentum: {value: 0.5}}}
keras_cnn: {names: {lr: optim.learning_rate}}
"""
BASE = "optim: {optimizer: sgd}\ntrain: {epochs: 3}\n"


def run(name: str, lr: float) -> dict:
    """A command as the server sends it: nested as the file was."""
    arguments = {"lr": {"value": lr}, "model.filters": {"value": 8}, "optim": {"value": {"momentum": 0.5}}}
    return {"type": "run", "run_id": name, "args": arguments}


class FakeServer:
    """Answers heartbeats with planned lists of commands, one list each, then with an exit."""

    def __init__(self, monkeypatch):
        self.plan, self.heartbeats, self.created, self.teardowns, self.agents = [], [], [], 0, []
        monkeypatch.setattr(package, "sweep", self.sweep)
        monkeypatch.setattr(package, "teardown", self.teardown)
        monkeypatch.setattr(package, "Api", lambda: self)
        monkeypatch.setattr(sweeps, "_register_agent", self.register)
        monkeypatch.setattr(sweeps, "_agent_heartbeat", self.heartbeat)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        monkeypatch.setattr(package, "setup", lambda: SimpleNamespace(settings=SimpleNamespace(base_url=self.url)))
        monkeypatch.setattr(wandb.time, "sleep", lambda seconds: None)
        monkeypatch.setattr(wandb.os, "environ", dict(os.environ) | {"WANDB_MODE": "online", "WANDB_API_KEY": "k" * 40})

    default_entity = "me"

    def sweep(self, definition, entity=None, project=None):
        self.created.append((definition, entity, project))
        return "abc123"

    def teardown(self):
        self.teardowns += 1

    def register(self, api, host, *, sweep_id, project, entity):
        self.agents.append((entity, project, sweep_id))
        return {"id": "agent"}

    def heartbeat(self, api, agent, metrics, running):
        self.heartbeats.append(running)
        answer = self.plan.pop(0) if self.plan else [{"type": "exit"}]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(monkeypatch, no_proxy) -> Iterator[FakeServer]:
    fake = FakeServer(monkeypatch)
    yield fake
    fake.listener.close()


@pytest.fixture
def on_server(sweep_of):
    return lambda: sweep_of(SWEEP, base=BASE, wandb_sweep="me/shells/abc123")


@pytest.fixture
def trained(monkeypatch) -> list[tuple]:
    """A stand-in for training: (run folder, learning rate, momentum, epochs, W&B's run and sweep) of each run."""
    seen = []

    def train(config, folder, prepare, watch):
        (folder / "config.yaml").write_text("")
        rows = []
        for epoch in range(1, config.train.epochs + 1):
            rows.append(dict.fromkeys(HISTORY_COLUMNS, 0.5) | {"epoch": epoch})
            if watch(rows):
                break
        folder.write_history(rows)
        (folder / "metrics.json").write_text(json.dumps({"best_epoch": 1}))
        where = (wandb.os.environ["WANDB_RUN_ID"], wandb.os.environ["WANDB_SWEEP_ID"])
        seen.append((folder.path.name, config.optim.learning_rate, config.optim.momentum, len(rows), where))

    monkeypatch.setattr(worker.experiment, "train", train)
    return seen


@pytest.fixture
def create(tmp_path, messages) -> Callable[..., tuple[str | None, list[str]]]:
    """(text of a sweep file, options of the tracking) -> the sweep on the server, and the messages about it."""

    def run(text: str = SWEEP, **tracking) -> tuple[str | None, list[str]]:
        (tmp_path / "s.yaml").write_text(text)
        return wandb.create(sweep_file.read_sweep(tmp_path / "s.yaml"), TrackingConfig(**tracking)), messages

    return run


# --- who runs the sweep ---


def test_the_server_gets_the_file_without_our_section(server, create):
    assert create() == ("me/shells/abc123", [])
    ((definition, entity, project),) = server.created
    whole = yaml.safe_load(SWEEP)
    whole["parameters"]["lr"] = {"min": 1e-4, "max": 1e-2}  # PyYAML takes 1e-4 for text
    assert definition == {field: value for field, value in whole.items() if field != "keras_cnn"}
    assert (entity, project) == (None, "shells")


def test_entity_and_project_of_the_config_stand_where_the_file_has_none(server, create):
    text = SWEEP.replace("project: shells\n", "")
    assert create(text, entity="us", project="pans")[0] == "us/pans/abc123"
    assert server.created[0][1:] == ("us", "pans")


@pytest.mark.parametrize("mode", ["off", "offline"])
def test_without_the_mirror_online_the_sweep_is_run_here_without_a_word(server, create, mode):
    assert create(wandb=mode) == (None, [])
    assert server.created == []


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_environment_keeps_the_sweep_here_as_well(server, create, mode):
    wandb.os.environ["WANDB_MODE"] = mode
    assert create() == (None, [])


@pytest.fixture
def closed():
    """A server that takes no connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_without_a_network_nobody_waits(server, create, closed):
    server.url = closed
    assert create() == (None, [f"W&B: {closed} cannot be reached; the sweep is run here"])
    assert server.created == []


def test_behind_a_proxy_wandb_itself_finds_out(server, create, monkeypatch, closed):
    server.url = closed
    monkeypatch.setattr(wandb.urllib.request, "getproxies", lambda: {"http": "http://proxy:3128"})
    assert create() == ("me/shells/abc123", [])


def test_a_server_that_refuses_the_sweep_is_said_in_one_line(server, create, monkeypatch):
    def unreachable(*arguments, **settings):
        raise package.errors.AuthenticationError("Failed to verify\ncredentials")

    monkeypatch.setattr(package, "sweep", unreachable)
    reason = "AuthenticationError: Failed to verify credentials"
    assert create() == (None, [f"W&B: no sweep on its server ({reason}); the sweep is run here"])


@pytest.mark.parametrize(("method", "ours"), [("random", "repeats: 2"), ("grid", "order: random")])
def test_what_the_server_has_no_word_for_is_run_here(server, create, method, ours):
    text = f"method: {method}\nrun_cap: 2\nparameters: {{model.filters: {{values: [4, 8]}}}}\nkeras_cnn: {{{ours}}}\n"
    place, (line,) = create(text)
    assert place is None
    assert "neither repeats nor a random order" in line
    assert server.created == []


# --- an agent ---


def test_an_agent_trains_what_the_server_wants_until_it_says_exit(server, on_server, trained):
    study = on_server()
    # an order, three epochs; nothing to do yet, an order, three epochs; exit
    server.plan = [[run("r1", 0.001)], [], [], [], [], [run("r2", 0.002)], [], [], []]
    worker.work(study)
    assert server.agents == [("me", "shells", "abc123")]
    assert trained == [("0001", 0.001, 0.5, 3, ("r1", "abc123")), ("0002", 0.002, 0.5, 3, ("r2", "abc123"))]
    idle, r1, r2 = {}, {"r1": True}, {"r2": True}
    assert server.heartbeats == [idle, r1, r1, r1, idle, idle, r2, r2, r2, idle]
    assert [(t.state, t.wandb_run) for t in study.trials()] == [("finished", "r1"), ("finished", "r2")]
    assert study.trials()[0].assignment == {"lr": 0.001, "model.filters": 8, "optim.momentum": 0.5}
    assert server.teardowns == 2


def test_a_run_of_the_sweep_has_its_parameters_where_wandb_looks_for_them(server, on_server, trained):
    server.plan = [[run("r1", 0.001)]]
    worker.work(on_server())
    written = yaml.safe_load(Path(wandb.os.environ["WANDB_SWEEP_PARAM_PATH"]).read_text())
    assert written == {
        "wandb_version": 1,
        "lr": {"value": 0.001},
        "model.filters": {"value": 8},
        "optim.momentum": {"value": 0.5},
    }


def test_the_server_stops_a_run_early(server, on_server, trained):
    study = on_server()
    other, own = {"type": "stop", "run_id": "other"}, {"type": "stop", "run_id": "r1"}
    server.plan = [[run("r1", 0.001)], [other], [own]]
    worker.work(study)
    assert trained[0][3] == 2
    assert (study.trials()[0].state, study.trials()[0].value) == ("early", 0.5)


def test_a_dead_agents_trial_goes_on_as_the_same_run_before_anything_new(server, on_server, trained):
    study = on_server()
    server.plan = [[run("r1", 0.001)]]
    lease = wandb.ServerEngine(study).lease(lambda: False)
    lease.release()  # as after kill -9
    server.plan, trained[:] = [[], [], [], [run("r2", 0.002)]], []
    worker.work(Study(study.folder))
    assert [row[-1][0] for row in trained] == ["r1", "r2"]
    assert [(t.attempts, t.state) for t in study.trials()] == [(2, "finished"), (1, "finished")]


def test_an_agent_that_waits_stops_at_a_signal(server, on_server):
    server.plan = [[]] * 3
    asked = iter([False, False, True])
    assert wandb.ServerEngine(on_server()).lease(lambda: next(asked)) is None
    assert len(server.heartbeats) == 2


def test_a_sweep_deleted_on_the_server_stops_the_agent(server, on_server):
    server.plan = [SweepNotFoundError("gone")]
    with pytest.raises(Stopped, match="the sweep me/shells/abc123 is no longer on the server"):
        worker.work(on_server())


def test_an_agent_that_cannot_register_says_so(server, on_server, monkeypatch):
    def unreachable(*arguments, **settings):
        raise TimeoutError("busy")

    monkeypatch.setattr(sweeps, "_register_agent", unreachable)
    with pytest.raises(Stopped, match=r"me/shells/abc123 cannot be reached \(TimeoutError: busy\)"):
        worker.work(on_server())


def test_a_parameter_without_a_value_is_named(server, on_server):
    server.plan = [
        [{"type": "run", "run_id": "r1", "args": {"lr": {"value": 0.1}, "model": {"value": {"filters": 4}}}}]
    ]
    with pytest.raises(InputError, match=r"gave no value for optim\.momentum; found \['lr', 'model'\]"):
        wandb.ServerEngine(on_server()).lease(lambda: False)
