"""W&B's sweep files, read as they are and checked.

The rules are those of W&B's own engine, the package `sweeps` 0.3.0 (its JSON schema, `params.py`, `grid_search.py` and
`hyperband_stopping.py`): what its schema calls a violation is refused here, and what only its server can do is
returned as a note. Numbers may be written 1e-3, which W&B's own reader takes as text.

Settings that W&B does not have are in one section of ours:

    keras_cnn:
      base: ../published/cs7015_net1.yaml     # of every trial: a file, relative to the sweep file, or a name
      repeats: 3                              # the number of seeds with which every cell is trained
      order: random                           # of a grid's cells; the default, given, is W&B's order
      names:                                  # short names of parameters; all others are dotted paths of a config
        lr: optim.learning_rate
        data_augmentation:                    # a value may set several fields, or none
          true: {data.augment.name: cs6910}
          false: {data.augment.name: none}

W&B's server only warns of a section that it does not know, as a schema violation; its local controller refuses it.
`Sweep.definition` is the file without the section.
"""

import inspect
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from keras_cnn import config
from keras_cnn.checking import COMMAND_LINE, Limit, Value, bare, check, check_names, describe, options_of
from keras_cnn.config.shipped import shipped
from keras_cnn.errors import InputError
from keras_cnn.sweeps.distributions import DISTRIBUTIONS, EXPONENTS, Distribution, key
from keras_cnn.sweeps.hyperband import Hyperband, rungs
from keras_cnn.sweeps.space import SECTION, Metric, Sweep, typed

AT_LEAST_1 = Limit("a number of at least 1", lambda v: v >= 1)

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_TOP = {  # W&B's keys
    "method": Literal["grid", "random", "bayes"],
    "parameters": Any,
    "metric": Any,
    "early_terminate": Any,
    "run_cap": Annotated[int, AT_LEAST_1],
    "name": str,
    "description": str,
    "project": str,
    "entity": str,
    "program": str,
    "command": list[str],
    "job": str,
    "image_uri": str,
    "controller": dict,
    "apiVersion": str,
    "kind": Literal["sweep"],
}
_ONLY_ON_SERVER = {  # key that only W&B's own programs honour: the end of the note about it
    "command": "is not run; a trial gets --field=value for each of its settings",
    "job": "belongs to W&B Launch; trials run here",
    "image_uri": "belongs to W&B Launch; trials run here",
    "controller": "is W&B's; the sweep is controlled here",
}
_CUSTOM = ("metrics", "scheduler")
_OWN = ("base", "repeats", "order", "names")
_REQUIRED = {"method": "grid, random or bayes", "parameters": "a section with one parameter or more"}


@dataclass(frozen=True, kw_only=True)
class _OwnSection:
    base: str | None = None
    repeats: Annotated[int, AT_LEAST_1] = 1
    order: Literal["given", "random"] = "given"
    names: Any = None


def read_sweep(path: str | Path, run_cap: int | None = None) -> Sweep:
    """Reads a W&B sweep file; `run_cap` replaces the file's.

    Raises InputError in one line, with place, field, what was found and what is expected.
    """
    path = Path(path)
    root = config.read_values(path)
    if not isinstance(root.value, dict):
        raise InputError(f"{root.place}: found {bare(root)!r}, expected a sweep with method and parameters")
    for field in _CUSTOM:
        if field in root.value:
            raise InputError(f"{root.value[field].place}: {field}: needs a custom scheduler of W&B; expected `metric`")
    for field in _OWN:
        if field in root.value:
            raise InputError(f"{root.value[field].place}: {field}: W&B has no such field; expected it below {SECTION}")
    check_names(root, {**_TOP, SECTION: Any}, "")
    if run_cap is not None:
        root = Value(root.value | {"run_cap": Value(run_cap, COMMAND_LINE)}, root.place)
    given = {field: check(root.value[field], hint, field) for field, hint in _TOP.items() if field in root.value}
    for field, expected in _REQUIRED.items():
        if field not in given:
            raise InputError(f"{root.place}: {field}: not given; expected {expected}")

    parameters: dict[str, Distribution] = {}
    for distribution in _parameters(root.value["parameters"], "", "parameters"):
        if (name := distribution.name) in parameters:
            raise InputError(f"{distribution.place}: parameters.{name}: given twice, dotted and nested; expected once")
        parameters[name] = distribution
    metric = Metric(**_settings(root.value["metric"], Metric, "metric")) if "metric" in root.value else None
    stop = _hyperband(root.value.get("early_terminate"))
    _check_method(root, parameters, metric, stop)
    ours = root.value.get(SECTION, Value({}, root.place))
    section = _OwnSection(**_settings(ours, _OwnSection, SECTION))
    names = _names(ours.value.get("names"), parameters)
    _check_fields(parameters, names, section.repeats)
    return Sweep(
        path=path,
        method=given["method"],
        parameters=parameters,
        metric=metric,
        early_terminate=stop,
        **{field: given.get(field) for field in ("run_cap", "name", "description", "project", "entity")},
        base=_base(ours, section.base, path),
        repeats=section.repeats,
        order=section.order,
        names=names,
        notes=tuple(_notes(root, parameters)),
        definition={field: bare(value) for field, value in root.value.items() if field != SECTION},
    )


def standalone(sweep: Sweep) -> str:
    """The sweep as YAML with `base.yaml` beside it as its base, so that it does not depend on the original file."""
    ours = bare(config.read_values(sweep.path)).get(SECTION, {}) | {"base": "base.yaml"}
    return yaml.safe_dump({**sweep.definition, SECTION: ours}, sort_keys=False)


def _settings(section: Value, builder: Any, path: str, what: str = "") -> dict[str, Any]:
    """The section's fields as the keyword-only parameters of `builder`, defaults filled in."""
    if not isinstance(section.value, dict):
        raise InputError(f"{section.place}: {path}: found {bare(section)!r}, expected a section with fields")
    options = options_of(builder)
    check_names(section, options, path, what)
    for field, (hint, default, _) in options.items():
        if default is inspect.Parameter.empty and field not in section.value:
            raise InputError(f"{section.place}: {path}.{field}: not given; expected {describe(hint)}")
    defaults = {field: default for field, (_, default, _) in options.items()}
    return defaults | {field: check(v, options[field][0], f"{path}.{field}") for field, v in section.value.items()}


def _parameters(section: Value, prefix: str, path: str) -> Iterator[Distribution]:
    if not isinstance(section.value, dict) or not section.value:
        raise InputError(f"{section.place}: {path}: found {bare(section)!r}, expected {_REQUIRED['parameters']}")
    for name, below in sorted(section.value.items()):
        here = f"{path}.{name}"
        if not _NAME.fullmatch(name):
            raise InputError(f"{below.place}: {here}: found {name!r}, expected letters, digits, _.-, no digit first")
        if isinstance(below.value, dict) and "parameters" in below.value:
            check_names(below, {"parameters": Any}, here, "a nested parameter")
            yield from _parameters(below.value["parameters"], f"{prefix}{name}.", f"{here}.parameters")
        else:
            yield _distribution(below, f"{prefix}{name}", here)


def _distribution(section: Value, name: str, path: str) -> Distribution:
    if not isinstance(section.value, dict):
        meant = "values" if isinstance(section.value, list) else "value"
        raise InputError(
            f"{section.place}: {path}: found {bare(section)!r}, expected a section such as "
            f"{{{meant}: {typed(bare(section))}}}"
        )
    kind = _kind(section, path)
    rest = Value({field: value for field, value in section.value.items() if field != "distribution"}, section.place)
    settings = _settings(rest, DISTRIBUTIONS[kind], path, kind)
    if "min" in settings and not settings["min"] < settings["max"]:
        limits = f"min {settings['min']} and max {settings['max']}"
        raise InputError(f"{section.place}: {path}: found {limits}, expected min below max")
    _check_plain(settings, section.place, path)
    if kind == "categorical_w_probabilities":
        _check_probabilities(settings, section.place, path)
    return Distribution(name, kind, settings, section.place)


def _kind(section: Value, path: str) -> str:
    """The distribution that W&B infers from a parameter's keys."""
    keys = section.value
    if "distribution" in keys:
        return check(keys["distribution"], Literal[tuple(DISTRIBUTIONS)], f"{path}.distribution")
    if "values" in keys:
        return "categorical_w_probabilities" if "probabilities" in keys else "categorical"
    if "value" in keys:
        return "constant"
    if "min" in keys and "max" in keys:
        return "int_uniform" if type(keys["min"].value) is type(keys["max"].value) is int else "uniform"
    raise InputError(
        f"{section.place}: {path}: found {bare(section)!r}, expected value, values, min and max, or a distribution"
    )


def _check_plain(settings: Mapping[str, Any], place: str, path: str) -> None:
    try:
        json.dumps(settings)
    except TypeError:  # a date, which neither W&B nor the study can keep
        raise InputError(f"{place}: {path}: found a date or bytes; expected numbers, or text in quotes") from None


def _check_probabilities(settings: Mapping[str, Any], place: str, path: str) -> None:
    count, total = len(settings["probabilities"]), sum(settings["probabilities"])
    if count != len(settings["values"]):
        counts = f"{len(settings['values'])} values and {count} probabilities"
        raise InputError(f"{place}: {path}: found {counts}, expected one probability per value")
    if not math.isclose(total, 1, rel_tol=0, abs_tol=1.001e-5):  # W&B's tolerance, that of np.isclose
        raise InputError(f"{place}: {path}.probabilities: their sum is {total:g}, expected 1")


def _hyperband(section: Value | None) -> Hyperband | None:
    if section is None:
        return None
    hyperband = Hyperband(**_settings(section, Hyperband, "early_terminate"))
    if hyperband.max_iter is None and hyperband.min_iter is None:
        raise InputError(
            f"{section.place}: early_terminate: found neither limit, expected min_iter, or max_iter with s"
        )
    if hyperband.max_iter is not None:
        if hyperband.s is None:
            raise InputError(f"{section.place}: early_terminate.s: not given; max_iter needs the number of brackets")
        if not rungs(hyperband):
            numbers = f"max_iter {hyperband.max_iter}, s {hyperband.s}, eta {hyperband.eta:g}"
            raise InputError(f"{section.place}: early_terminate: {numbers} give no bracket; expected max_iter above eta"
                             " and s of at least 1")  # fmt: skip
    return hyperband


def _check_method(root: Value, parameters: Mapping[str, Distribution], metric: Metric | None, stop: Any) -> None:
    method = root.value["method"].value
    for what, needed in (("method: bayes", method == "bayes"), ("early_terminate", stop is not None)):
        if needed and metric is None:
            raise InputError(f"{root.place}: metric: not given; {what} needs its name and goal")
    if method == "bayes" and all(d.kind == "constant" for d in parameters.values()):
        raise InputError(f"{root.place}: parameters: all constant; method: bayes needs one to search")
    if method == "grid":
        for distribution in parameters.values():
            distribution.grid()


def _base(ours: Value, given: str | None, path: Path) -> Path | None:
    if given is None:
        return None
    base = path.parent / given
    if not base.is_file():
        if given in (names := shipped()):
            return names[given]
        expected = "expected a config, relative to the sweep file, or the name of a config of the package"
        raise InputError(f"{ours.value['base'].place}: {SECTION}.base: no file {base}; {expected}")
    return base


def _notes(root: Value, parameters: Mapping[str, Distribution]) -> Iterator[str]:
    for field, note in _ONLY_ON_SERVER.items():
        if field in root.value:
            yield f"{root.value[field].place}: {field}: {note}"
    program = root.value.get("program")
    if program is not None and Path(str(program.value)).name not in ("train.py", "finetune.py"):
        yield f"{program.place}: program: {program.value} is not started; trials are trained as train.py does"
    metric = root.value.get("metric")
    if metric is not None:
        if "goal" not in metric.value:
            yield f"{metric.place}: metric.goal: not given; {metric.value['name'].value} is minimized, as by W&B"
        for field in ("impute", "impute_while_running"):
            if field in metric.value:
                place = metric.value[field].place
                yield f"{place}: metric.{field}: a failed trial counts as the worst, one that runs as an average one"
    stop = root.value.get("early_terminate")
    if stop is not None:
        if "strict" not in stop.value:
            yield (
                f"{stop.place}: early_terminate.strict: not given; true as in W&B's engine, "
                "though its documentation says false"
            )
        if "min_iter" in stop.value and "max_iter" in stop.value:
            yield f"{stop.value['min_iter'].place}: early_terminate.min_iter: not used, as by W&B; max_iter is given"
    for name, distribution in parameters.items():
        kind = distribution.kind
        if kind in EXPONENTS:
            low, high = sorted(DISTRIBUTIONS[kind](u, **distribution.settings) for u in (0.0, 1.0))
            yield (
                f"{distribution.place}: parameters.{name}: min and max of {kind} are natural logarithms, "
                f"so values lie from {low:.4g} to {high:.4g}; {kind}_values takes the limits themselves"
            )
    if root.value["method"].value != "grid" and "run_cap" not in root.value:
        yield f"{root.place}: run_cap: not given; the sweep goes on until it is stopped (--run-cap N ends it)"


# --- from parameters to fields of a config ----------------------------------------------------------------------------


def _names(section: Value | None, parameters: Mapping[str, Distribution]) -> dict[str, Any]:
    path = f"{SECTION}.names"
    if section is None:
        return {}
    if not isinstance(section.value, dict):
        raise InputError(f"{section.place}: {path}: found {bare(section)!r}, expected parameters with their fields")
    check_names(section, parameters, path, "the parameters")
    return {
        name: _table(given, parameters[name], f"{path}.{name}")
        if isinstance(given.value, dict)
        else _field(check(given, str, f"{path}.{name}"), given.place, f"{path}.{name}")
        for name, given in section.value.items()
    }


def _table(section: Value, distribution: Distribution, path: str) -> dict[str, dict[str, Any]]:
    """{value of the parameter, as text: {field: its value}}."""
    values = distribution.values()
    if values is None:
        raise InputError(
            f"{section.place}: {path}: found a row per value, but {distribution.kind} has no list of values; "
            "expected one field such as optim.learning_rate"
        )
    table = {}
    for written, row in section.value.items():
        row_key = key(yaml.safe_load(written))
        if row_key not in map(key, values):
            listed = ", ".join(map(typed, values))
            raise InputError(
                f"{row.place}: {path}.{written}: no value of {distribution.name}; expected one of {listed}"
            )
        if not isinstance(row.value, dict):
            raise InputError(f"{row.place}: {path}.{written}: found {bare(row)!r}, expected fields with their values")
        table[row_key] = {_field(name, v.place, f"{path}.{written}"): bare(v) for name, v in row.value.items()}
    for value in values:
        if key(value) not in table:
            raise InputError(f"{section.place}: {path}: no row for {typed(value)}; expected one per value")
    return table


def _field(name: str, place: str, path: str) -> str:
    """Returns `name` if a config has this field. The builder of a model or an augmentation checks its options."""
    fields = config.flat(config.Config())
    choices = [field.removesuffix("name") for field in fields if field.endswith(".name")]
    sections = [choice.removesuffix(".") for choice in choices]
    if name in fields or name in sections or any(name.startswith(choice) for choice in choices):
        return name
    raise InputError(f"{place}: {path}: {name!r} is no field of a config{config.nearest_field(name, fields, fields)}")


def _check_fields(parameters: Mapping[str, Distribution], names: Mapping[str, Any], repeats: int) -> None:
    """Refuses parameters without a field of a config, and two parameters that set the same field."""
    taken = {"seed": f"{SECTION}.repeats"} if repeats > 1 else {}
    for name, distribution in parameters.items():
        if name not in names:
            _check_field_or_name(distribution)
        target = names.get(name, name)
        for field in {target} if isinstance(target, str) else {f for row in target.values() for f in row}:
            if field in taken:
                fault = f"sets {field}, as {taken[field]} does"
                raise InputError(f"{distribution.place}: parameters.{name}: {fault}; expected one of the two")
            taken[field] = name


def _check_field_or_name(distribution: Distribution) -> None:
    path = f"parameters.{distribution.name}"
    try:
        _field(distribution.name, distribution.place, path)
    except InputError as error:
        raise InputError(f"{error}; or a name for it below {SECTION}.names") from None
