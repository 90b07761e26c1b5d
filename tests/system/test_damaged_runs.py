"""Every command on a run folder, with every file of it damaged in every way: it works, or says so.

A sentence has status 2, begins with "batchgnn: ", and names a file of the run, or the run.
"""

import itertools
import json
import shutil

import pytest
from graphs import learnable_graph, shards_of
from jobs import newest_checkpoint

from batchgnn.cli import main

OPTIONS = [
    *("--layers", "2", "--fanouts", "3", "2", "--hidden", "4", "--batch-size", "100"),
    *("--epochs", "2", "--timeline-epoch", "1"),
]
NAMES = ("config.toml", "metrics.jsonl", "result.json", "job.json", "progress.json", "stopped.json",
         "lock.json", "model.h5", "timeline.json", "checkpoint", "replicated.h5")  # fmt: skip
COMMANDS = {
    "status": ["status", "RUN"],
    "cancel": ["cancel", "RUN"],
    "report": ["report", "RUN", "--out", "OUT/page.html"],
    "evaluate": ["evaluate", "RUN"],
    "predict": ["predict", "RUN", "OUT/p.h5"],
    "export": ["export", "RUN", "OUT/m.safetensors"],
    "resume": ["train", "--run", "RUN", "--resume", "--epochs", "3"],
}


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write(content):
    def damage(path):
        remove(path)
        path.write_bytes(content)

    return damage


def cut(path):
    if path.is_file():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def fold(path):
    remove(path)
    path.mkdir()


def dangle(path):
    remove(path)
    path.symlink_to("nowhere")


def loop(path):
    remove(path)
    path.symlink_to(path.name)


DAMAGE = {
    "missing": remove,
    "empty": write(b""),
    "cut": cut,
    "binary": write(bytes(range(256))),
    "a list": write(b"[1, 2]\n"),
    "nested": write(b"[" * 100_000),
    "huge number": write(b'{"pid": 1' + b"0" * 400 + b', "pid_started": 1e400, "host": ""}\n'),
    "a folder": fold,
    "a link to nothing": dangle,
    "a link to itself": loop,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    shards = shards_of(learnable_graph(), folder / "shards")
    with pytest.raises(SystemExit, match="0"):
        main(["train", str(shards), "--run", str(folder / "run"), *OPTIONS])
    job = folder / "run" / "job.json"  # `cancel` is to find that the process has ended
    job.write_text(json.dumps(json.loads(job.read_text()) | {"pid_started": 1.0}))
    return folder / "run"


def path_of(run, name):
    return newest_checkpoint(run) / name if name == "replicated.h5" else run / name


def outcome(capsys, arguments):
    """(status, what stderr said) of a command, which may end in no other way."""
    status = 0
    try:
        main(arguments)
    except SystemExit as end:
        status = end.code or 0
    return status, capsys.readouterr().err


def walk(whole, folder, capsys, pairs):
    """What is wrong with the answers, of (command, name of a file, kind of damage)."""
    wrong = []
    for n, (command, name, kind) in enumerate(pairs):
        run, out = folder / f"{n}" / "run", folder / f"{n}" / "out"
        shutil.copytree(whole, run)
        out.mkdir()
        DAMAGE[kind](path_of(run, name))
        arguments = [a.replace("RUN", str(run)).replace("OUT", str(out)) for a in COMMANDS[command]]
        try:
            status, said = outcome(capsys, arguments)
        except Exception as error:
            wrong.append((command, name, kind, repr(error)))
            continue
        good = status == 0 or (status == 2 and said.startswith("batchgnn: ") and str(run) in said)
        if not good or "Traceback" in said or (command == "cancel" and status):
            wrong.append((command, name, kind, status, said))
        if status and list(out.iterdir()):
            wrong.append((command, name, kind, "left", list(out.iterdir())))
        shutil.rmtree(run.parent)
    return wrong


@pytest.mark.slow
def test_every_command_answers_every_damage_of_every_file(whole, tmp_path, capsys):
    pairs = list(itertools.product(COMMANDS, NAMES, DAMAGE))
    wrong = walk(whole, tmp_path, capsys, pairs)
    assert wrong == [], f"{len(wrong)} of {len(pairs)}: " + "\n".join(map(str, wrong))


def test_commands_answer_damage(whole, tmp_path, capsys):
    """Each file with each command that opens no shards, the kinds of damage dealt over them."""
    pairs = itertools.product(("status", "cancel", "report", "export"), NAMES)
    kinds = itertools.cycle(DAMAGE)
    assert walk(whole, tmp_path, capsys, [(*pair, next(kinds)) for pair in pairs]) == []
