"""One experiment as frozen dataclasses: YAML and `--a.b VALUE` overrides in, checked and complete config out.

Every option is declared once, with its type, its help and its limits; the loader, the errors and `--help` read them
from there. Options of a model or an augmentation recipe are declared by its builder: the caller passes those builders
in, and their keyword-only parameters are checked in the same way.
"""

import dataclasses
import difflib
import inspect
import re
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import yaml

from keras_cnn.checking import Limit, Value, bare, check, describe, known, nearest, options_of, placed, strip
from keras_cnn.errors import InputError

COMMAND_LINE = "command line"

POSITIVE = Limit("a number above 0", lambda v: v > 0)
AT_LEAST_0 = Limit("a number of at least 0", lambda v: v >= 0)
AT_LEAST_1 = Limit("a number of at least 1", lambda v: v >= 1)
SEED = Limit("a number from 0 to 4294967295", lambda v: 0 <= v < 2**32)
FRACTION = Limit("a number from 0 up to but not including 1", lambda v: 0 <= v < 1)
FILE_NAME = Limit("a name without / and not starting with .", lambda v: bool(re.fullmatch(r"[^./][^/\0]*", v)))


@dataclass(frozen=True)
class Choice:
    """A named builder and its options, e.g. a model: written `model: {name: net1, l1_oc: 18}` or `model: net1`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    source: Annotated[str, "fashion-mini, fashion-mnist, folder:PATH, tfds:NAME[/CONFIG] or npz:FILE"] = "fashion-mini"
    image_size: Annotated[int | None, "side in pixels; null keeps the images' own where they agree", AT_LEAST_1] = None
    channels: Annotated[Literal[1, 3] | None, "1 grey, 3 RGB; null takes what the images have"] = None
    fit: Annotated[Literal["crop", "stretch", "pad"], "how another aspect ratio is fitted"] = "crop"
    train: Annotated[int | float | None, "training images: a count, a fraction, or null for the rest", POSITIVE] = None
    validation: Annotated[int | float, "validation images: a count or a fraction below 1", POSITIVE] = 0.1
    test: Annotated[int | float, "test images where the source has no test split of its own", POSITIVE] = 0.1
    per_class: Annotated[int | None, "at most so many images a class of each part of the source", AT_LEAST_1] = None
    subset: Annotated[int | None, "train on so many images a class; the other splits stay whole", AT_LEAST_1] = None
    corrupt: Annotated[Literal["fail", "skip"], "what to do about unreadable images"] = "fail"
    cache: Annotated[Literal["auto", "none", "memory", "disk"], "keep decoded images; auto: memory if it fits"] = "auto"
    cache_dir: Annotated[str | None, "for decoded images and what is known of files; null: the user's cache"] = None
    augment: Annotated[Choice, "augmentation recipe, optionally with changed settings"] = Choice("none")


@dataclass(frozen=True)
class Optim:
    optimizer: Annotated[Literal["sgd", "adam", "adamw", "adagrad", "rmsprop"], "update rule"] = "adam"
    learning_rate: Annotated[float, "peak learning rate", POSITIVE] = 1e-3
    momentum: Annotated[float, "for sgd and rmsprop", FRACTION] = 0.0
    nesterov: Annotated[bool, "Nesterov momentum, for sgd"] = False
    weight_decay: Annotated[float, "decoupled, per step, scaled by the learning rate; kernels only", AT_LEAST_0] = 0.0
    schedule: Annotated[
        Literal["constant", "step", "exponential", "cosine", "one_cycle", "plateau"], "learning rate over time"
    ] = "constant"
    warmup_epochs: Annotated[float, "linear rise from 0 at the start", AT_LEAST_0] = 0.0
    step_epochs: Annotated[int, "epochs between the drops of step", AT_LEAST_1] = 7
    gamma: Annotated[float, "factor of step (a drop), exponential (an epoch) and plateau (a drop)", POSITIVE] = 0.1
    plateau_patience: Annotated[int, "epochs without a better validation loss before plateau drops", AT_LEAST_1] = 5
    clip_norm: Annotated[float | None, "largest norm of the whole gradient; null: no clipping", POSITIVE] = None


@dataclass(frozen=True)
class Train:
    epochs: Annotated[int, "passes over the training split", AT_LEAST_1] = 10
    batch_size: Annotated[int, "images a step", AT_LEAST_1] = 128
    label_smoothing: Annotated[float, "probability spread over all classes", FRACTION] = 0.0
    class_weights: Annotated[Literal["none", "balanced"], "balanced: inverse to the class's frequency"] = "none"
    ema: Annotated[float | None, "decay of an average of the weights, used for validation and saved", FRACTION] = None
    early_stopping: Annotated[int | None, "stop after so many epochs without improvement; null: never", AT_LEAST_1] = (
        None
    )
    monitor: Annotated[Literal["val_accuracy", "val_loss"], "what chooses the best epoch"] = "val_accuracy"
    overfit_batch: Annotated[bool, "train on one batch alone, without augmentation; --overfit-batch"] = False
    checkpoint_minutes: Annotated[float, "longest time between checkpoints inside an epoch", POSITIVE] = 10.0


@dataclass(frozen=True)
class Tracking:
    wandb: Annotated[Literal["auto", "online", "offline", "off"], "auto: online with a key, else offline"] = "auto"
    project: Annotated[str, "W&B project"] = "keras_cnn"
    entity: Annotated[str | None, "W&B user or team"] = None
    group: Annotated[str | None, "W&B group"] = None


@dataclass(frozen=True)
class Config:
    name: Annotated[str, "names the run folder", FILE_NAME] = "run"
    seed: Annotated[int, "decides the split, the order, the weights and the augmentations", SEED] = 1
    precision: Annotated[
        Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"], "auto: mixed_bfloat16 where hardware has it"
    ] = "auto"
    deterministic: Annotated[Literal["auto", "yes", "no"], "same bytes from the same seed; auto: yes on CPU"] = "auto"
    data: Data = Data()
    model: Annotated[Choice, "network and its options"] = Choice("five_block")
    optim: Optim = Optim()
    train: Train = Train()
    tracking: Tracking = Tracking()


class _Loader(yaml.SafeLoader):
    """Plain YAML, in which 1e-3 is a number as in YAML 1.2; PyYAML's own takes it for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)

Builders = Mapping[str, Mapping[str, Callable]]  # {"model": {"net1": builder, ...}, "data.augment": {...}}


# --- reading ----------------------------------------------------------------------------------------------------------


def load(path: str | Path | None, overrides: list[str] = (), builders: Builders = types.MappingProxyType({})) -> Config:
    """Reads a YAML file (None: all defaults), applies `--a.b VALUE` overrides and returns the complete config.

    Raises InputError, in one line with place, field, what was found, what is expected and the nearest valid name.
    """
    root = Value({}, COMMAND_LINE) if path is None else _read(Path(path))
    named_first = sorted(pairs(overrides), key=lambda pair: pair[0].removesuffix(".name") not in builders)
    for name, text in named_first:  # another name drops options, so it comes before the options given with it
        root = _override(root, name.split("."), text, builders)
    return _dataclass(root, Config, "", builders)


def _read(path: Path) -> Value:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.yaml")], 1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise InputError(f"{path}: cannot read the config: {error.strerror}{hint}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text at byte {error.start}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
        return Value({}, str(path)) if node is None else _plain(node, path)
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # impossible dates, anchors inside themselves
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None


def _plain(node: yaml.Node, path: Path) -> Value:
    place = f"{path}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        return Value([_plain(item, path) for item in node.value], place)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Value] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in result:
                found = "a key that is not a plain word" if name is None else f"{name} twice in one section"
                raise InputError(f"{path}:{key.start_mark.line + 1}: {found}; expected each field once")
            result[name] = _plain(value, path)
        return Value(result, place)
    loader = _Loader("")
    try:
        return Value(loader.construct_object(node), place)
    finally:
        loader.dispose()


def pairs(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """`["--a.b", "1", "--c=2"]` -> ("a.b", "1"), ("c", "2")."""
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise InputError(
                f"{COMMAND_LINE}: {word!r} is neither an option nor the value of one; expected --a.b VALUE"
            )
        if not equals:
            if not rest or rest[0].startswith("--"):
                raise InputError(f"{COMMAND_LINE}: --{name} has no value; expected --{name} VALUE")
            text = rest.pop(0)
        yield name, text


def _override(root: Value, path: list[str], text: str, builders: Builders, done: tuple[str, ...] = ()) -> Value:
    """`root` with the field at `path` replaced. Another name for a choice drops the options of the old one."""
    section = dict(root.value) if isinstance(root.value, dict) else {"name": root}
    head, *tail = path
    here = ".".join((*done, head))
    if tail:
        below = section.get(head, Value({}, COMMAND_LINE))
        section[head] = _override(below, tail, text, builders, (*done, head))
    elif head == "name" and ".".join(done) in builders:
        old = section.get("name")
        section = section if old is not None and old.value == text else {}
        section["name"] = Value(text, COMMAND_LINE)
    else:
        try:
            value = yaml.load(text, Loader=_Loader)
        except (yaml.YAMLError, ValueError):  # ValueError: 2020-13-45 looks like a date and is none
            value = text
        section[head] = placed(text if isinstance(value, str) or here == "name" else value, COMMAND_LINE)
    return Value(section, root.place)


# --- checking ---------------------------------------------------------------------------------------------------------


def _dataclass(section: Value, kind: type, path: str, builders: Builders) -> Any:
    _need_mapping(section, path or "the config")
    hints = get_type_hints(kind, include_extras=True)
    known(section, hints, path)
    changed = {}
    for name, value in section.value.items():
        below = f"{path}.{name}" if path else name
        hint = strip(hints[name])
        if dataclasses.is_dataclass(hint) and hint is not Choice:
            changed[name] = _dataclass(value, hint, below, builders)
        elif hint is not Choice:
            changed[name] = check(value, hints[name], below)
    for name, hint in hints.items():
        if strip(hint) is Choice:
            below = f"{path}.{name}" if path else name
            default = next(f.default for f in dataclasses.fields(kind) if f.name == name)
            given = section.value.get(name, Value(default.name, COMMAND_LINE))
            changed[name] = _choice(given, below, default.name, builders.get(below))
        elif name not in changed and dataclasses.is_dataclass(hint):
            changed[name] = _dataclass(Value({}, COMMAND_LINE), hint, name, builders)
    return kind(**changed)


def _choice(section: Value, path: str, default: str, builders: Mapping[str, Callable] | None) -> Choice:
    if not isinstance(section.value, dict):
        section = Value({"name": section}, section.place)
    name = check(section.value.get("name", Value(default, section.place)), str, f"{path}.name")
    given = {k: v for k, v in section.value.items() if k != "name"}
    if builders is None:  # the caller does not build this section, e.g. a test of config alone
        return Choice(name, {k: bare(v) for k, v in given.items()})
    if name not in builders:
        place = section.value["name"].place
        raise InputError(f"{place}: {path}.name: {name!r} is unknown{nearest(name, builders)}")
    parameters = options_of(builders[name])
    known(Value(given, section.place), parameters, path, f"{path} {name}")
    options = {key: default for key, (_, default, _) in parameters.items()}
    options |= {key: check(value, parameters[key][0], f"{path}.{key}") for key, value in given.items()}
    missing = [key for key, value in options.items() if value is inspect.Parameter.empty]
    if missing:
        raise InputError(f"{section.place}: {path}: {name} needs {', '.join(missing)}")
    return Choice(name, options)


def _need_mapping(value: Value, path: str) -> None:
    if not isinstance(value.value, dict):
        raise InputError(f"{value.place}: {path}: found {value.value!r}, expected a section with fields")


# --- writing ----------------------------------------------------------------------------------------------------------


def as_dict(config: Any) -> dict:
    """The config as plain nested dicts, lists and scalars, as `load` reads it."""
    if isinstance(config, Choice):
        return {"name": config.name} | {k: _listed(v) for k, v in config.options.items()}
    if dataclasses.is_dataclass(config):
        return {f.name: as_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return config


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple | list) else value


def dump(config: Config) -> str:
    """YAML text that loads to an equal config."""
    return yaml.safe_dump(as_dict(config), sort_keys=False, allow_unicode=True)


def flat(config: Config) -> dict[str, Any]:
    """`{"optim.learning_rate": 0.001, ...}`, one entry a field, in the order of declaration."""
    return dict(_walk(as_dict(config), ""))


def read_flat(path: Path) -> dict[str, Any]:
    """A config file like `flat`, whatever its fields: also one of an older version. InputError if it is not YAML."""
    return dict(_walk(bare(_read(path)), ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _walk(below, f"{path}.{name}" if path else name)
    else:
        yield path, value


def differences(old: Config, new: Config) -> list[str]:
    """One line a field that differs: `optim.learning_rate: 0.001 -> 0.01`; a field of one side only shows `-`."""
    before, after = flat(old), flat(new)
    names = list(dict.fromkeys([*before, *after]))
    absent = "-"
    return [
        f"{n}: {before.get(n, absent)} -> {after.get(n, absent)}"
        for n in names
        if before.get(n, absent) != after.get(n, absent)
    ]


def help_text(builders: Builders) -> str:
    """Every option with its type, default and meaning, as `--help` shows it."""
    lines = []
    for name, hint, default, note in _options(Config, ""):
        if name in builders:
            names = ", ".join(builders[name])
            lines.append(f"  --{name}.name NAME   {note}; one of {names} (default {default.name})")
        else:
            lines.append(f"  --{name}   {note}: {describe(hint)} (default {'null' if default is None else default})")
    return "\n".join(lines)


def _options(kind: type, path: str) -> Iterator[tuple[str, Any, Any, str]]:
    hints = get_type_hints(kind, include_extras=True)
    for item in dataclasses.fields(kind):
        hint, name = hints[item.name], f"{path}{item.name}"
        if dataclasses.is_dataclass(strip(hint)) and strip(hint) is not Choice:
            yield from _options(strip(hint), f"{name}.")
        else:
            yield name, hint, item.default, next(a for a in get_args(hint)[1:] if isinstance(a, str))
