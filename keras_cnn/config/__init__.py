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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import yaml

from keras_cnn.checking import Limit, Value, bare, check, describe, known, nearest, options_of, strip
from keras_cnn.errors import InputError

COMMAND_LINE = "command line"

POSITIVE = Limit("a number above 0", lambda v: v > 0)
AT_LEAST_0 = Limit("a number of at least 0", lambda v: v >= 0)
AT_LEAST_1 = Limit("a number of at least 1", lambda v: v >= 1)
SEED = Limit("a number from 0 to 4294967295", lambda v: 0 <= v < 2**32)
FRACTION = Limit("a number from 0 up to but not including 1", lambda v: 0 <= v < 1)
SHARE = Limit("a number above 0 and at most 1", lambda v: 0 < v <= 1)
FILE_NAME = Limit("a name without / and not starting with .", lambda v: bool(re.fullmatch(r"[^./][^/\0]*", v)))


@dataclass(frozen=True)
class Choice:
    """A named builder and its options, e.g. a model: written `model: {name: net1, l1_oc: 18}` or `model: net1`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


PER_CLASS = ("precision", "recall", "f1", "support")


@dataclass(frozen=True)
class Figure:
    """A number printed somewhere, for the report to set beside the one measured."""

    figure: Annotated[
        Literal[
            "test_accuracy",
            "test_loss",
            "validation_accuracy",
            "validation_loss",
            "train_accuracy",
            "train_loss",
            "best_epoch",
            "epochs",
            "best_validation_accuracy",
            "best_validation_accuracy_epoch",
            "best_validation_loss",
            "best_validation_loss_epoch",
            "final_validation_accuracy",
            "final_validation_loss",
            "final_train_accuracy",
            "final_train_loss",
            "precision",
            "recall",
            "f1",
            "support",
            "trainable_parameters",
        ],
        "what was measured; of the splits, with the best epoch's model; final_ after the last epoch; best_ over all",
    ]
    value: Annotated[float, "as printed; a share is a fraction of 1"]
    source: Annotated[str, "publication with table or page"]
    class_name: Annotated[str | None, "of precision, recall, f1 and support"] = None
    decimals: Annotated[int | None, "places printed after the point; null: as many as value shows", AT_LEAST_0] = None
    tolerance: Annotated[float, "agrees also if so far away, besides the rounding of the print", AT_LEAST_0] = 0.0
    conditions: Annotated[dict | None, "fields of a config, such as train.epochs, with the value they must have"] = None
    note: Annotated[str | None, "printed with the verdict"] = None


@dataclass(frozen=True)
class Data:
    source: Annotated[str, "fashion-mini, fashion-mnist, folder:PATH, tfds:NAME[/CONFIG] or npz:FILE"] = "fashion-mini"
    image_size: Annotated[
        int | None, "side in pixels; null: a backbone's own, else that of the images where they agree", AT_LEAST_1
    ] = None
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
    warmup_epochs: Annotated[float, "linear rise to the peak over so many epochs at the start", AT_LEAST_0] = 0.0
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
class Finetune:
    freeze_upto: Annotated[
        int | str,
        "frozen: a stage or layer and all before it, or so many layers with weights from the input (below 0: all but so"
        " many), or all: the whole backbone; 0: nothing",
    ] = 0
    strategy: Annotated[
        Literal["fixed", "staged", "gradual"],
        "staged: the head alone first, then all that is not frozen; gradual: then a stage more at a time",
    ] = "fixed"
    head_epochs: Annotated[int, "epochs of staged and gradual with the head alone", AT_LEAST_1] = 1
    unfreeze_epochs: Annotated[int, "epochs of gradual before the next stage", AT_LEAST_1] = 1
    stage_decay: Annotated[float, "factor of the learning rate from a stage to the one before it", SHARE] = 1.0
    features: Annotated[
        Literal["auto", "none", "memory", "disk"],
        "keep what the frozen part puts out, computed once; auto: memory if it fits; disk: in data.cache_dir",
    ] = "auto"
    features_dtype: Annotated[Literal["auto", "bfloat16"], "what is kept; auto: as computed, to the bit"] = "auto"
    augment_views: Annotated[
        int,
        "so many augmented views of each image, one an epoch in turn, which can be kept; 0: new ones every epoch",
        AT_LEAST_0,
    ] = 0


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
    finetune: Finetune = Finetune()
    tracking: Tracking = Tracking()
    published: Annotated[
        str | tuple[Figure, ...] | None, "REPORT/EXPERIMENT of keras_cnn/report/published/, or figures to compare with"
    ] = None


_DEEPEST = 20  # a config needs 4


class _Loader(yaml.SafeLoader):
    """Plain YAML, in which 1e-3 is a number as in YAML 1.2; PyYAML's own takes it for text.

    Without aliases, nine lines of which stand for a billion values, and no deeper than a stack of calls bears.
    """

    _depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if getattr(event, "anchor", None) is not None:
            problem = "an anchor (&name) or alias (*name) stands here; expected the value itself"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        if self._depth > _DEEPEST:
            problem = f"more than {_DEEPEST} lists and sections inside one another"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back as the same."""

    def ignore_aliases(self, data):
        return True


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )

PUBLISHED = Path(__file__).parents[1] / "report" / "published"  # a YAML file a publication

# A field: the field that it depends on, and with which values of that it has an effect.
ACTS_WITH = {
    "optim.momentum": ("optim.optimizer", ("sgd", "rmsprop")),
    "optim.nesterov": ("optim.optimizer", ("sgd",)),
    "optim.warmup_epochs": ("optim.schedule", ("constant", "step", "exponential", "cosine", "plateau")),
    "optim.step_epochs": ("optim.schedule", ("step",)),
    "optim.gamma": ("optim.schedule", ("step", "exponential", "plateau")),
    "optim.plateau_patience": ("optim.schedule", ("plateau",)),
    "data.augment.name": ("train.overfit_batch", (False,)),
    "train.checkpoint_minutes": ("train.overfit_batch", (False,)),  # between the steps of an epoch; this has one
    "finetune.head_epochs": ("finetune.strategy", ("staged", "gradual")),
    "finetune.unfreeze_epochs": ("finetune.strategy", ("gradual",)),
    "finetune.features_dtype": ("finetune.features", ("auto", "memory", "disk")),
    "finetune.augment_views": ("train.overfit_batch", (False,)),
    "data.corrupt": ("data.source", ("folder",)),
    "data.cache": ("data.source", ("folder",)),
    "data.validation": ("the source's own splits", ("train", "train, test")),
    "data.test": ("the source's own splits", ("train", "train, validation")),
}

Builders = Mapping[str, Mapping[str, Callable]]  # {"model": {"net1": builder, ...}, "data.augment": {...}}


# --- reading ----------------------------------------------------------------------------------------------------------


def load(
    path: str | Path | None,
    overrides: list[str] = (),
    builders: Builders = types.MappingProxyType({}),
    kind: type = Config,
) -> Any:
    """Reads a YAML file (None: all defaults), applies `--a.b VALUE` overrides and returns the complete config.

    `kind` is the dataclass of the whole, whose field `optim` is an Optim.

    Raises InputError, in one line with place, field, what was found, what is expected and the nearest valid name.
    """
    root = Value({}, COMMAND_LINE) if path is None else read_values(Path(path))
    named_first = sorted(pairs(overrides), key=lambda pair: pair[0].removesuffix(".name") not in builders)
    for name, text in named_first:  # another name drops options, so it comes before the options given with it
        root = _override(root, name.split("."), text, builders)
    config = _dataclass(root, kind, "", builders)
    if config.optim.nesterov and config.optim.optimizer == "sgd" and not config.optim.momentum:
        place = root.value["optim"].value["nesterov"].place
        raise InputError(f"{place}: optim.nesterov: found true with optim.momentum 0, expected a momentum above 0")
    return config


def read_values(path: Path) -> Value:
    """A YAML file with the place of each value. InputError, in one line, if it cannot be read or is no plain YAML."""
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
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise InputError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from None


def _plain(node: yaml.Node, path: Path | None) -> Value:
    """A node with its place: a line of the file at `path`, or the command line."""
    place = f"{path}:{node.start_mark.line + 1}" if path else COMMAND_LINE
    if isinstance(node, yaml.SequenceNode):
        return Value([_plain(item, path) for item in node.value], place)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Value] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None or name in result:
                found = "a key that is not a plain word" if name is None else f"{name} twice in one section"
                place = f"{path}:{key.start_mark.line + 1}" if path else COMMAND_LINE
                raise InputError(f"{place}: {found}; expected each field once")
            result[name] = _plain(value, path)
        return Value(result, place)
    loader = _Loader("")
    try:
        return Value(loader.construct_object(node), place, node.value)
    except ValueError:  # 2020-13-45 looks like a date and is none
        return Value(node.value, place, node.value)
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
    if tail:
        below = section.get(head, Value({}, COMMAND_LINE))
        section[head] = _override(below, tail, text, builders, (*done, head))
    elif head == "name" and ".".join(done) in builders:
        old = section.get("name")
        section = section if old is not None and old.value == text else {}
        section["name"] = Value(text, COMMAND_LINE)
    else:
        section[head] = _typed(text)
    return Value(section, root.place)


def _typed(text: str) -> Value:
    """What stands on the command line: YAML, or else plain text."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = None if node is None else _plain(node, None).value
    except yaml.YAMLError:
        value = text
    return Value(value, COMMAND_LINE, text)


# --- checking ---------------------------------------------------------------------------------------------------------


def _dataclass(section: Value, kind: type, path: str, builders: Builders) -> Any:
    _need_mapping(section, path or "the config")
    hints = get_type_hints(kind, include_extras=True)
    known(section, hints, path)
    changed = {}
    for name, value in section.value.items():
        below = f"{path}.{name}" if path else name
        hint = strip(hints[name])
        if below == "published":
            changed[name] = _published(value, below)
        elif dataclasses.is_dataclass(hint) and hint is not Choice:
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
    required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
    if missing := [name for name in required if name not in changed]:
        raise InputError(f"{section.place}: {path}: needs {', '.join(missing)}")
    return kind(**changed)


def _published(value: Value, path: str) -> str | tuple[Figure, ...] | None:
    if isinstance(value.value, list):
        return tuple(_figure(item, f"{path}[{i}]") for i, item in enumerate(value.value))
    if value.value is None:
        return None
    if not isinstance(value.value, str):
        expected = "REPORT/EXPERIMENT such as cs7015/net1, a list of figures, or null"
        raise InputError(f"{value.place}: {path}: found {bare(value)!r}, expected {expected}")
    return published_name(value.value, f"{value.place}: {path}")


def _figure(section: Value, path: str) -> Figure:
    found = _dataclass(section, Figure, path, {})
    if (found.class_name is None) is (found.figure in PER_CLASS):
        wanted = "a class_name" if found.figure in PER_CLASS else f"none: it is for {', '.join(PER_CLASS)}"
        raise InputError(f"{section.place}: {path}.class_name: found {found.class_name!r}, expected {wanted}")
    fields = {name: None for name, *_ in _options(Config, "")}
    for name in found.conditions or {}:
        if name not in fields and not name.startswith(("model.", "data.augment.")):
            raise InputError(f"{section.place}: {path}.conditions: {name!r} is no field{nearest(name, fields)}")
    return found


def published_name(name: str, place: str) -> str:
    """The REPORT/EXPERIMENT `name` itself; InputError if no published figures of that name come with the package."""
    experiments = {file.stem: read_values(file).value["experiments"] for file in sorted(PUBLISHED.glob("*.yaml"))}
    names = [f"{report}/{experiment}" for report, found in experiments.items() for experiment in found.value]
    if name not in names:
        raise InputError(f"{place}: {name!r} is unknown{nearest(name, names)}")
    return name


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
    if isinstance(config, tuple):
        return [as_dict(item) for item in config]
    if dataclasses.is_dataclass(config):
        return {f.name: as_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    return config


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple | list) else value


def dump(config: Any) -> str:
    """YAML text that loads to an equal config."""
    return yaml.dump(as_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def flat(config: Any) -> dict[str, Any]:
    """`{"optim.learning_rate": 0.001, ...}`, one entry a field, in the order of declaration."""
    return dict(_walk(as_dict(config), ""))


def read_flat(path: Path) -> dict[str, Any]:
    """A config file like `flat`, whatever its fields: also one of an older version. InputError if it is not YAML."""
    return dict(_walk(bare(read_values(path)), ""))


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _walk(below, f"{path}.{name}" if path else name)
    else:
        yield path, value


def differences(old: Any, new: Any) -> list[str]:
    """One line a field that differs: `optim.learning_rate: 0.001 -> 0.01`; a field of one side only shows `-`."""
    before, after = flat(old), flat(new)
    names = list(dict.fromkeys([*before, *after]))
    absent = "-"
    return [
        f"{n}: {before.get(n, absent)} -> {after.get(n, absent)}"
        for n in names
        if before.get(n, absent) != after.get(n, absent)
    ]


def without_effect(config: Config, own_splits: Iterable[str]) -> list[str]:
    """A line for each field that was changed from its default and does nothing, given the splits the source has."""
    given, defaults = flat(config), flat(Config())
    states = given | {"data.source": config.data.source.partition(":")[0]}
    states["the source's own splits"] = ", ".join(own_splits)
    return [
        f"{name} {_shown(given[name])} has no effect with {other} {_shown(states[other])}"
        for name, (other, values) in ACTS_WITH.items()
        if given[name] != defaults[name] and states[other] not in values
    ]


def help_text(builders: Builders = types.MappingProxyType({}), kind: type = Config) -> str:
    """Every option with its type, default and meaning, as `--help` shows it."""
    lines = []
    for name, hint, default, note in _options(kind, ""):
        if name in builders:
            count = len(builders[name])
            lines.append(f"  --{name}.name NAME   {note}; one of the {count} below (default {default.name})")
            lines += _builders_help(name, builders[name])
        else:
            lines.append(f"  --{name}   {note}: {describe(hint)} (default {_shown(default)})")
    return "\n".join(lines)


def _builders_help(path: str, builders: Mapping[str, Callable]) -> Iterator[str]:
    """The options of each builder; those that several have in common once, with the defaults that differ."""
    alike: dict[tuple, dict[str, dict]] = {}
    for name, builder in builders.items():
        options = options_of(builder)
        key = tuple((option, note) for option, (_, _, note) in options.items())
        alike.setdefault(key, {})[name] = options
    for members in alike.values():
        yield f"    {', '.join(members)}{'' if any(members.values()) else ': no options'}"
        options, *_ = members.values()
        for option, (hint, default, note) in options.items():
            needed = "required" if default is inspect.Parameter.empty else f"default {_shown(default)}"
            defaults = {name: theirs[option][1] for name, theirs in members.items()}
            others = ", ".join(f"{name} {_shown(value)}" for name, value in defaults.items() if value != default)
            yield f"      --{path}.{option}   {note}: {describe(hint)} ({needed}{'; ' if others else ''}{others})"


def _shown(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _options(kind: type, path: str) -> Iterator[tuple[str, Any, Any, str]]:
    hints = get_type_hints(kind, include_extras=True)
    for item in dataclasses.fields(kind):
        hint, name = hints[item.name], f"{path}{item.name}"
        if dataclasses.is_dataclass(strip(hint)) and strip(hint) is not Choice:
            yield from _options(strip(hint), f"{name}.")
        else:
            yield name, hint, item.default, next(a for a in get_args(hint)[1:] if isinstance(a, str))
