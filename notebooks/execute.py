"""Executes the notebooks of this folder, each in an empty folder, and keeps their output: `make notebooks`."""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
SECONDS = 600  # for a cell


def main() -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "WANDB_MODE": "disabled"}
    for path in sorted(HERE.glob("*.ipynb")):
        if sys.argv[1:] and path.stem not in sys.argv[1:]:
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": folder}}).execute()
            text = nbformat.writes(_cleaned(notebook)).replace(f"{folder}/", "")
        path.write_text(text + "\n", encoding="utf-8")
        print(f"{path.name}: {len(notebook.cells)} cells")


def _cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without times of execution, standard error and colours."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            printed = "".join(each.text for each in cell.outputs if each.get("name") == "stdout")
            cell.outputs = [each for each in cell.outputs if each.output_type != "stream"]
            if printed := re.sub(r"\x1b\[[0-9;]*m", "", printed):
                cell.outputs.insert(0, nbformat.v4.new_output("stream", name="stdout", text=printed))
    return notebook


if __name__ == "__main__":
    main()
