"""Runs docs/tutorial.md as a notebook, prints what its cells print, and keeps its pictures.

python docs/run_tutorial.py
"""

import os
import pathlib
import re
import sys
import tempfile

import jupytext
import nbclient
from PIL import Image

PAGE = pathlib.Path(__file__).with_name("tutorial.md")
_LARGEST = (900, 1200)


def execute(folder: pathlib.Path) -> list[str]:
    """Executes all cells of the page in one kernel.

    Args:
      folder: where they run and write their files.

    Returns:
      What each cell prints.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = jupytext.read(PAGE)
    # The commands are those of this environment.
    os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    nbclient.NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(map(_printed, cell.outputs)) for cell in cells]


def _printed(output):
    return output.text if output.get("name") == "stdout" else ""


def pictures() -> list[str]:
    """The pictures on the page, as paths below its folder, and of an execution."""
    return re.findall(r"\]\(tutorial/([\w./]+\.png)\)", PAGE.read_text())


def keep_pictures(folder: pathlib.Path) -> None:
    """Copies the pictures of an execution next to the page, in fewer colours."""
    for name in pictures():
        image = Image.open(folder / name).convert("RGB")
        image.thumbnail(_LARGEST)
        kept = PAGE.with_suffix("") / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        image.quantize(128).save(kept, optimize=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        for printed in execute(pathlib.Path(temporary)):
            print(printed)
        keep_pictures(pathlib.Path(temporary))
