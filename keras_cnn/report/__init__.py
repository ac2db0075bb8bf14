"""The page about runs: their results, comparisons with published results, and findings.

    >>> keras_cnn.report([run, "runs/run"], "report.html").name
    'report.html'

The package can be called like this, because an import of any of its modules makes the package the
attribute `report` of `keras_cnn`, in place of the library's function of that name.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, runs: Any, path: str | Path | None = None) -> Path:
        from keras_cnn.report import pages

        return pages.report(runs, path)


sys.modules[__name__].__class__ = _CallablePackage
