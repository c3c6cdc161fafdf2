"""Executes the shell and Python blocks of README and docs once, in order, on a fresh clone.

python tests/run_blocks.py [--slow] [PAGE ...]

PAGE is a file such as docs/using.md; without any, README.md and all of docs/. Names such as FOLDER
and RUN_FOLDER become folders made for this. Recipes run their smoke forms. --slow also runs what
takes more than a minute or two. What cannot run here is printed with the reason. The exit code is 1
if a block failed.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
_BLOCK = re.compile(r"^( *)```(bash|python)\n(.*?)^ *```", re.DOTALL | re.M)

# Commands by pattern, and why they do not run here.
ELSEWHERE = {
    r"\b(sbatch|kubectl|gcloud)\b": "needs a cluster",
    r"\bpip install\b": "changes the environment",
    r"tests/run\.sh": "runs the tests",
    r"\.venv/": "needs the environment of the quickstart",
    r"tensorboard\b": "does not end",
    r"--serve\b": "does not end",
    r"flowers|vit_\w+\.(safetensors|npz)|WEIGHTS": "needs photographs and weights to download",
    r"cifar10_jpeg_small": "needs CIFAR-10 as files",
    r"warmup_epochs=40": "needs more epochs than smoke forms have",
}
SLOW = r"gnp (compare|sweep)|label-noise\.sh|quickstart\.sh|landscape|CUDA_VISIBLE_DEVICES"
# Pages that something else executes.
OTHERS = {"docs/tutorial.md": "docs/run_tutorial.py executes it"}

PHOTOGRAPHS = """
import pathlib
import numpy as np
from PIL import Image
from gnp.ds_pipeline.datasets.digits import read_digits
images, labels = read_digits()
for digit in range(5):
    for number, image in enumerate(images[labels == digit][:20]):
        part = "train" if number < 16 else "test"
        file = pathlib.Path("photographs", part, f"class {digit}", f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(15 * image)).resize((64, 64)).convert("RGB").save(file)
Image.open(file).save("photo.jpg")
pathlib.Path("folder").mkdir()
Image.open(file).save("folder/a.png")
"""
TRAINING = """
import pathlib
import gnp
for seed in (0, 1):
    fields = {"seeds": seed, "total_epochs": 6, "ema_decay": 0.9, "save_ckpt_every_n_epochs": 1}
    fields |= {"keep_latest_checkpoints": 6, "dataset.data_dir": "photographs"}
    run = gnp.train(gnp.load_config("image_folder", fields), "example")
    with open("runs.txt", "a") as file:
        print(pathlib.Path(run.folder).resolve(), file=file)
"""


def main():
    """Runs the blocks that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--slow", action="store_true", help="also what takes minutes")
    parser.add_argument("pages", nargs="*", help="such as docs/using.md")
    arguments = parser.parse_args()
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        clone = pathlib.Path(folder, "gnp")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        runs = prepare(clone)
        all_pages = [clone / "README.md", *sorted(clone.glob("docs/*.md"))]
        for page in arguments.pages or [str(page.relative_to(clone)) for page in all_pages]:
            if page in OTHERS:
                print(f"{page}: {OTHERS[page]}")
                continue
            for language, block in blocks((clone / page).read_text()):
                failures += not run(page, language, block, clone, runs, slow=arguments.slow)
    print(f"{failures} blocks failed")
    sys.exit(failures > 0)


def prepare(clone):
    """Makes photographs, own parts and two runs in the clone. Returns the folders of the runs."""
    extending = blocks((clone / "docs" / "extending.md").read_text())
    parts = [code for _, code in extending if "@gnp.register_" in code]
    (clone / "my_parts.py").write_text("\n".join(parts))
    call(["python", "-c", PHOTOGRAPHS], clone, check=True)
    call(["python", "-c", TRAINING], clone, check=True)
    return (clone / "runs.txt").read_text().splitlines()


def blocks(text):
    """Yields the language and the code of the blocks, without the indentation of lists."""
    for indent, language, block in _BLOCK.findall(text):
        yield language, re.sub(rf"^{indent}", "", block, flags=re.M)


def run(page, language, block, clone, runs, *, slow):
    """Runs a block, a program in Python or one command after the other; whether it works."""
    if language == "python":
        return report(page, block, call(["python", "-c", block], clone))
    works = True
    for line in block.replace("\\\n", " ").splitlines():
        command = with_values(line, runs)
        reason = next((why for what, why in ELSEWHERE.items() if re.search(what, line)), None)
        if not slow and not reason and re.search(SLOW, line):
            reason = "takes minutes; --slow runs it"
        if reason:
            print(f"{page}: not run, as it {reason}: {line}", flush=True)
        elif command.partition("#")[0].strip():
            works &= report(page, line, call(["bash", "-euo", "pipefail", "-c", command], clone))
    return works


def with_values(command, runs):
    """The command with folders in the place of names."""
    names = {"OTHER_RUN_FOLDER": runs[1], "OTHER_RUN": runs[1], "RUN_FOLDER": runs[0]}
    names |= {"RUN": runs[0], "FOLDER": "photographs"}
    for name, value in names.items():
        command = re.sub(rf"(?<=[= ]){name}\b", f"'{value}'", command)
    return command.replace("/data/runs", "runs")


def report(page, code, result):
    """Prints how a block ended. Returns whether it works."""
    first = next(line for line in code.splitlines() if line.strip())
    print(f"{page}: {'failed' if result.returncode else 'works'}: {first}", flush=True)
    if result.returncode:
        print(result.stderr[-3000:])
    return result.returncode == 0


def call(command, clone, **options):
    """Calls a command in the clone, with the packages of this Python and gnp of the clone."""
    programs = pathlib.Path(sys.executable).parent
    place = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(clone),
        "GNP_PYTHON": str(programs / "python"),
        "SMOKE": "1",
    }
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run(
        command, cwd=clone, env=os.environ | place, **{"check": False} | streams | options
    )


if __name__ == "__main__":
    main()
