"""Disks and pipes that refuse: every command says so in one sentence and leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from commands import environment
from walk import OUTPUTS, PLACES, PRINTING, WRITING

from batchgnn.cli import app

CAPABILITIES = "-dac_override,-dac_read_search"
LEFT = {"plan", "slurm submit"}
"Commands that may leave what is whole: the folder of a cache, scripts that Slurm did not take."

WHOLE = {("small disk", None), *((place, "launch") for place in OUTPUTS)}
"Where a command may end well: what fits, and what mpirun prints, which drops what nobody reads."

QUICK = {
    "full disk": [name for name in WRITING if name not in ("demo", "plan")],
    "read-only": ["partition", "train", "predict", "slurm write"],
    "small disk": ["partition", "data convert npz"],
    "closed pipe": ["inspect", "status", "data generate grid"],
}
"What is walked in every run of the tests; the other pairs are slow ones."

ALL = {place: [*WRITING, *(PRINTING if place in OUTPUTS else [])] for place in PLACES}


def leaves(of, words=()):
    """The commands that do something, as a user types them."""
    for name in of:
        if not name.startswith("-"):
            found = list(leaves(of[name], (*words, name)))
            yield from found or [" ".join((*words, name))]


def test_every_command_is_in_the_walk():
    assert sorted(leaves(app)) == sorted([*WRITING, *PRINTING])


def can_mount():
    words = ["unshare", "-m", "setpriv", f"--bounding-set={CAPABILITIES}", "true"]
    there = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "setpriv")))
    return there and not subprocess.run(words, check=False).returncode


@pytest.fixture
def root():
    """A folder that others may look into, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="batchgnn-walk-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def wrong(found):
    """What is not as it should be of one command at one place; None where all is."""
    place, command, said = found["place"], found["command"], found["said"].splitlines()
    own = [line for line in said if line.startswith("batchgnn: ") and "compiling" not in line]
    if found["status"] == 0 and {(place, command), (place, None)} & WHOLE:
        return None if found["left"] == ["out"] else "left nothing, or more than that"
    if found["status"] != 2:
        return f"status {found['status']}"
    if "Traceback" in found["said"] or "Exception ignored" in found["said"]:
        return "a traceback"
    if len(own) != (2 if command == "demo" and len(own) == 2 else 1):
        return f"{len(own)} sentences"
    left = [] if place in OUTPUTS or command in LEFT else found["left"]
    return f"left {left}" if left else None


@pytest.mark.skipif(not can_mount(), reason="needs a root that may mount disks")
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("walks", [QUICK, pytest.param(ALL, marks=pytest.mark.slow)])
def test_one_sentence_and_nothing_left_behind(root, walks):
    line = ["unshare", "-m", "setpriv", f"--bounding-set={CAPABILITIES}", sys.executable]
    done = subprocess.run(
        [*line, Path(__file__).parents[1] / "walk.py", root, json.dumps(walks)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == sum(map(len, walks.values()))
    assert [(why, each) for each in lines if (why := wrong(each))] == []


ROOM = """
import os, sys
import numpy as np
from batchgnn.base.errors import StoreError
from batchgnn.store.model_file import SavedModel, read_model, write_model
from pathlib import Path
disk, ends = Path(sys.argv[1]), []
file = disk / "m.h5"
for pages in range(16, 5, -1):
    (disk / "filler").write_bytes(bytes(pages << 12))
    try:
        write_model(file, SavedModel(np.ones(5000, np.float32), 1, "x"))
        ends.append(len(read_model(file).parameters))
        file.unlink()
    except StoreError as error:
        ends.append("no room" in str(error) and os.listdir(disk) == ["filler"])
print(ends)
"""


@pytest.mark.skipif(not can_mount(), reason="needs a root that may mount disks")
def test_an_hdf5_file_is_whole_or_absent_however_much_room_there_is(root):
    mounted = f'mount -t tmpfs -o size=64k none {root} && exec "$@"'
    line = ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", ROOM, str(root)]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")  # HDF5 used to crash at the end
    ends = json.loads(done.stdout.replace("True", "true"))
    assert ends[0] is True
    assert ends[-1] == 5000
    assert set(ends) == {True, 5000}
