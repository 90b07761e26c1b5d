"""The pages of docs/: built without a warning, linked, complete, and true: their commands run."""

import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import stand_ins
from commands import ROOT, environment
from graphs import learnable_graph, shards_of
from helps import rows_of, with_commands
from snippets import DOCS, page, page_names, snippets

import batchgnn
from batchgnn.cli import app, main
from batchgnn.launch.mpirun import root_environment
from batchgnn.report.page import SECTIONS

SMALL = [*("--layers", "2", "--fanouts", "3", "2", "--hidden", "4", "--batch-size", "60")]
LESS = {
    "/data/ogbn_products": "FOLDER/ogbn_products",
    "--epochs 100": "--epochs 1",
    "PE=16": "PE=1",
    "--epochs 30 $resume": f"--epochs 1 {' '.join(SMALL)} $resume",
    'venv = "/home/me/gnn"': "",
}
"Words of the pages, and those that stand for them here; FOLDER is where this runs."

ELSEWHERE = {
    "pip install '.[mpi,demo]' && batchgnn demo": "tests/system/test_readme.py",
    "pip install '.[mpi,test]' && pytest": "tests/system/test_readme.py",
    "batchgnn status products": "tests/cluster/test_slurm.py",
    "batchgnn cancel products": "tests/cluster/test_slurm.py",
}
"Lines that need another machine, and the test that has one."

TESTED = ("api", "examples", "export")
"Test modules that run what lies in examples/."

LISTING = "epoch-000003-step-00000000/"
"How the one picture of a folder begins."


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built pages."""
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", DOCS, out]
    done = subprocess.run(build, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return out


class Page(HTMLParser):
    """What a built page links to, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.anchors.add(of.get("id"))
        if tag == "a" and of.get("href"):
            self.links.append(of["href"])


def dead_links(built):
    """PAGE: LINK of every one that leads nowhere inside the site; built: Page by file name."""
    for name, each in built.items():
        for link in each.links:
            to = urlparse(link)
            target = built.get(to.path or name)
            there = target and (not to.fragment or unquote(to.fragment) in target.anchors)
            if not to.scheme and not there:
                yield f"{name}: {link}"


def test_no_link_is_dead(site):
    built = {path.name: Page(path) for path in site.glob("*.html")}
    assert {f"{name}.html" for name in page_names()} <= set(built)
    assert sum(len(each.links) for each in built.values()) > 300
    assert list(dead_links(built)) == []
    built["index.html"].links += ["nowhere.html", "cli.html#nothing"]
    assert len(list(dead_links(built))) == 2


def test_the_reference_has_every_command_and_option(site):
    anchors, text = Page(site / "cli.html").anchors, (site / "cli.html").read_text()
    commands = {words: each for words, each in with_commands(app) if each is not app}
    assert len(commands) > 20
    assert [words for words in commands if "-".join(words) not in anchors] == []
    assert "batchgnn data generate grid [OPTIONS] OUT" in text
    options = {name for each in commands.values() for names, _ in rows_of(each) for name in names}
    missing = [name for name in options if name not in text]
    assert [name for name in missing if not name.startswith("--empty-")] == []


def test_the_reference_has_every_public_name(site):
    anchors = Page(site / "python.html").anchors
    methods = [f"Run.{name}" for name in vars(batchgnn.Run) if not name.startswith("_")]
    assert [n for n in (*batchgnn.__all__, *methods) if f"batchgnn.{n}" not in anchors] == []


def test_the_page_about_reports_has_their_sections_in_order():
    rows = re.findall(r"(?m)^\| ([A-Z][^|]*) \|", page("report"))
    assert rows == [title for _, title, _ in SECTIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the pages' commands find: inputs, a graph, shards, a run."""
    folder, rng = tmp_path_factory.mktemp("docs"), np.random.default_rng(0)
    for write in (
        stand_ins.write_tables,
        stand_ins.write_archive,
        stand_ins.write_ogb,
        stand_ins.write_events,
    ):
        write(folder, rng)
    run("data", "convert", "edges", folder / "edges.csv", folder / "graph.h5", "--vertices",
        folder / "vertices.csv")  # fmt: skip
    shards_of(learnable_graph(), folder / "shards")
    shards_of(learnable_graph(num_vertices=100), folder / "later-shards")
    run("train", folder / "shards", "--run", folder / "run", *SMALL, "--epochs", 1)
    return folder


def run(*words):
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    assert not end.value.code, words


def run_line(line):
    """A command of a page; batch scripts are printed and not submitted."""
    words = shlex.split(line, comments=True)
    assert words[0] == "batchgnn", line
    run(*words[1:], *(["--dry-run"] if words[1:3] == ["slurm", "submit"] else []))


def run_script(code, folder):
    """A batch script, in a folder of its own beside the shards."""
    place = folder / "by-hand"
    place.mkdir()
    (place / "shards").symlink_to(folder / "shards")
    allowed = environment() | root_environment(os.geteuid())
    done = subprocess.run(
        ["bash", "-e"], input=code, cwd=place, env=allowed, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (place / "run" / "result.json").exists()


@pytest.mark.parametrize("name", page_names())
def test_the_commands_of_a_page_run(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    for each in snippets(page(name)):
        if each.is_of_readme or each.language.startswith("{") or each.code.startswith(LISTING):
            continue
        code = each.code.replace("\\\n", " ")
        for words, fewer in LESS.items():
            code = code.replace(words, fewer.replace("FOLDER", str(folder)))
        if code.startswith("#!"):
            run_script(code, folder)
            continue
        lines, _, settings = code.partition("# pipeline.toml\n")
        (folder / "pipeline.toml").write_text(settings)
        for line in filter(None, map(str.strip, lines.splitlines())):
            if line.partition("  ")[0] not in ELSEWHERE:
                run_line(line)


def test_whatever_stands_for_something_stands_on_a_page():
    text = "".join(map(page, page_names()))
    assert [words for words in (*LESS, *ELSEWHERE, LISTING) if words not in text] == []
    assert all((ROOT / path).exists() for path in ELSEWHERE.values())


def test_every_script_on_a_page_is_run_by_a_test():
    shown = {
        name
        for each in page_names()
        for name in re.findall(r"literalinclude\} \.\./examples/(\S+\.(?:py|sh))", page(each))
    }
    tests = "".join((ROOT / "tests" / "system" / f"test_{name}.py").read_text() for name in TESTED)
    assert len(shown) > 3
    assert [name for name in shown if name not in tests] == []
