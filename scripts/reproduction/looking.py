"""Looks at networks and keeps what it finds: small numbers, no weights."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_cnn.messages import logger
from reproduction import inside, last_epoch, results, spectra
from reproduction.experiments import Look
from reproduction.images import Material

# (material, folder of the run that is looked at, or None) -> what the networks are, and what was found
MEASURES: dict[str, Callable[[Material, Path | None], tuple[dict[str, Any], dict[str, Any]]]] = {
    "inside": inside.measure,
    "last_epoch": last_epoch.measure,
    "spectra": spectra.measure,
}


def look(wanted: Look, material: Material, runs: Path, kept: Path) -> dict[str, Any]:
    """Measures, writes the file of results and returns what is in it."""
    begun = time.monotonic()
    networks, findings = MEASURES[wanted.measure](material, runs / wanted.of if wanted.of else None)
    result = results.write_look(kept, wanted, networks, findings, time.monotonic() - begun)
    logger.info(f"kept      {results.path_of(kept, wanted)}")
    return result
