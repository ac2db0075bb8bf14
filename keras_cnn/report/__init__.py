"""The page about runs: their results, comparisons with published results, and findings.

    >>> keras_cnn.report([run, "runs/run"], "report.html").name
    'report.html'

The package can be called like this, because an import of any of its modules makes the package the
attribute `report` of `keras_cnn`, in place of the library's function of that name.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *runs: Any, **options: Any) -> Path:
        return importlib.import_module("keras_cnn.api.page").report(*runs, **options)


sys.modules[__name__].__class__ = _CallablePackage
