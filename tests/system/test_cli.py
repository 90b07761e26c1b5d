"""The command line as a whole: quick help, lazy loading, mistakes answered with one message."""

import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from batchgnn import __version__
from batchgnn.base.examples import EXAMPLES
from batchgnn.cli import COMMANDS, app, main

ROOT = Path(__file__).parents[2]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "batchgnn", *arguments],
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
    )


def test_help_is_quick_and_loads_neither_mpi_nor_the_jit():
    program = (
        "import sys\nfrom batchgnn.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'mpi4py', 'numba', 'h5py', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    printers = ["-c", "import cyclopts, rich.console, rich.markdown"]
    turns = [(seconds_of(printers), seconds_of(["-m", "batchgnn", "--help"])) for _ in range(3)]
    alone, whole = map(min, zip(*turns, strict=True))
    assert whole < 2 * alone


def seconds_of(words):
    """Processor seconds of a Python process, which depend less on who else works on the machine."""
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime


def test_help_names_every_command_and_every_command_has_help(capsys):
    def help_of(*words):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([*words, "--help"])
        return capsys.readouterr().out

    listed = help_of()
    for name in COMMANDS:
        assert f" {name} " in listed
    walked = dict(commands_below(app))
    assert walked.keys() == EXAMPLES.keys()
    for words in walked:
        shown = help_of(*words.split())
        assert "Usage:" in shown
        assert [line for line in EXAMPLES[words] if line not in shown] == []
        begin = f"batchgnn {words}".strip()
        assert any(begin in line or f"-- {words}" in line for line in EXAMPLES[words])


def commands_below(of, words=()):
    """The words of every command, and its app."""
    yield " ".join(words), of
    for name in of:
        if not name.startswith("-"):
            yield from commands_below(of[name], (*words, name))


@pytest.mark.parametrize("words", sorted(EXAMPLES))
def test_the_examples_of_help_are_parsed(words, tmp_path, monkeypatch):
    """In a folder that has the two files which are read for it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text('shards = "shards"\n')
    (tmp_path / "pipeline.toml").write_text("nodes = 2\n")
    for line in EXAMPLES[words]:
        _, *typed = shlex.split(line)
        if typed[-1] == "--help":
            continue
        app.parse_args(typed, exit_on_error=False, print_error=False)
        if typed[0] == "launch":
            inner = typed[typed.index("--") + 1 :]
            app.parse_args(inner, exit_on_error=False, print_error=False)


def test_a_shell_completes_commands_and_options():
    script = run("completion", "bash").stdout
    for words, expected in ((["tr"], "train"), (["train", "--fano"], "--fanouts")):
        typed = " ".join(["batchgnn", *words])
        ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _batchgnn; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True)
        assert done.stdout.split() == [expected], done.stderr


def test_version():
    assert run("--version").stdout.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["trian"], "Did you mean train?"),
        (["--verson"], "Did you mean --version?"),
        (["xyzzy"], "batchgnn --help lists all"),
        (["evaluate", "run", "--splitt", "val"], "--split"),
        (["train", "shards", "--run", "r", "--fanout", "3"], "--fanouts"),
        (["launch", "-n", "2"], "nothing to launch"),
        (["launch", "-n", "0", "--", "train"], ">= 1"),
        (["launch", "-n", "2", "--mpirun", "/no/mpirun", "--", "train"], "no such program"),
    ],
)
def test_a_mistake_gets_one_message_and_status_2(arguments, meant):
    done = run(*arguments)
    assert done.returncode == 2
    assert meant in done.stderr
    assert "Traceback" not in done.stderr


def test_only_the_first_rank_prints():
    done = run("trian", OMPI_COMM_WORLD_RANK="1")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")
    done = run("evaluate", "run", "--splitt", "val", PMI_RANK="1")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize("named", [[], ["batchgnn"]])
def test_launch_prints_its_plan(named):
    words = [*named, "train", "s", "--run", "r"]
    done = run("launch", "-n", "1", "--threads", "1", "--dry-run", "--", *words)
    assert done.returncode == 0, done.stderr
    assert "NUMBA_NUM_THREADS=1" in done.stdout
    assert done.stdout.rstrip().endswith("-m batchgnn train s --run r")
