"""Runs the experiments of the published reports again, and says which printed numbers agree; see `reproduce.py`."""
