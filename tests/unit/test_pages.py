"""Pages name only what is there: files, names in files, options of commands, their defaults."""

import re
from functools import cache
from importlib import import_module

import pytest
from helps import rows_of, with_commands
from pages import ROOT, Default, defaults, false_paths, options

from batchgnn import __version__

BESIDE_CODE = [
    str(page.relative_to(ROOT))
    for page in sorted(ROOT.glob("batchgnn/*/README.md"))
    if not page.parent.is_symlink()
]
DOCS = [str(page.relative_to(ROOT)) for page in sorted(ROOT.glob("docs/*.md"))]
PAGES = (
    "CONTRIBUTING.md", "README.md", "batchgnn/DESIGN.md", "data/FORMAT.md", "launch/README.md",
    "partition/README.md", "tests/bench/README.md", "tests/recipes/README.md", *BESIDE_CODE, *DOCS,
)  # fmt: skip
APPS = (
    "batchgnn.cli", "bench.ablation", "bench.ablation_cluster", "bench.averaging_quality",
    "bench.convergence", "bench.convert", "bench.peers", "bench.peers_whole",
    "bench.peers_temporal", "cluster.contest", "cluster.hosts",
)  # fmt: skip
OTHERS = {
    "mpirun": {"--map-by", "--bind-to", "--oversubscribe", "--with-ft", "--mca"},
    "sbatch and srun": {
        "--nodes", "--ntasks-per-node", "--cpus-per-task", "--time", "--requeue", "--open-mode",
        "--signal", "--dependency", "--kill-on-invalid-dep", "--mpi", "--cpu-bind",
    },
    "pip": {"--no-binary"},
    "TensorBoard and MLflow": {"--logdir", "--backend-store-uri"},
}  # fmt: skip
"Options of other programs that pages name."

MOST_WORDS = 2500
"Words of DESIGN.md: a page that people read."


def text_of(page):
    return (ROOT / page).read_text()


@cache
def help_rows():
    """(names, help) of every option of every command of `APPS`, as `--help` prints them."""
    rows = []
    for name in APPS:
        rows += [row for _, app in with_commands(import_module(name).app) for row in rows_of(app)]
    return rows


@cache
def known_options():
    return {name for names, _ in help_rows() for name in names} | set().union(*OTHERS.values())


def helps(default):
    """The first words that the commands' helps say to be the option's default."""
    said = [said for names, said in help_rows() if default.option in names]
    return [word for text in said for word in re.findall(r"[dD]efault:? ([\w.]+)", text)]


def same(value, said):
    words = {"True": "on", "False": "off"}
    try:
        return float(value) == float(said)
    except ValueError:
        return value == words.get(said, said)


def complain(page, found):
    """Fail with a line for each (line, word, what is wrong)."""
    if found:
        lines = [f"  {page}:{line}: {word}: {wrong}" for line, word, wrong in sorted(found)]
        pytest.fail("\n".join([f"{len(found)} false", *lines]), pytrace=False)


@pytest.mark.parametrize("page", PAGES)
def test_every_path_and_every_name_in_a_file_is_there(page):
    complain(page, false_paths(text_of(page), ROOT / page))


def test_the_citation_is_of_this_version():
    said = dict(re.findall(r"(?m)^([a-z-]+): (\S.*)$", text_of("CITATION.cff")))
    assert {"cff-version", "message", "title"} <= set(said)
    assert said["version"] == __version__


def test_every_path_of_the_makefile_is_there():
    complain("Makefile", false_paths(f"```\n{text_of('Makefile')}```", ROOT / "Makefile"))


@pytest.mark.parametrize("page", PAGES)
def test_every_option_is_in_the_help_of_a_command(page):
    unknown = [each for each in options(text_of(page)) if each.text not in known_options()]
    complain(page, [(each.line, each.text, "no command has it") for each in unknown])


@pytest.mark.parametrize("page", PAGES)
def test_every_default_is_that_of_the_help(page):
    found = []
    for each in defaults(text_of(page)):
        said = helps(each)
        if not any(same(each.value, word) for word in said):
            wrong = f"the help says {' or '.join(sorted(set(said))) or 'nothing'}"
            found.append((each.line, f"{each.option} by default {each.value}", wrong))
    complain(page, found)


def test_design_is_short_enough_to_be_read():
    words = len(text_of("batchgnn/DESIGN.md").split())
    assert words <= MOST_WORDS, f"batchgnn/DESIGN.md has {words:,} words, {MOST_WORDS:,} at most"


def test_design_names_every_page_beside_the_code():
    missing = [page for page in BESIDE_CODE if f"`{page}`" not in text_of("batchgnn/DESIGN.md")]
    assert not missing


def test_each_option_of_another_program_is_named_on_a_page():
    named = {each.text for page in PAGES for each in options(text_of(page))}
    assert set().union(*OTHERS.values()) <= named


# That the tests above can fail


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("`batchgnn/cli.py`, `cli.py: main`, `kernels/rng.py: draw(key, id)`", []),
        ("`nowhere.py`", ["nowhere.py"]),
        ("x\n`kernels/rng.py: drawn`", ["kernels/rng.py: drawn"]),
        ("`comm/failure.py: Watchdog.nothing`", ["comm/failure.py: Watchdog.nothing"]),
        ("`kernels/rng.py:\ndraw`, of `kernels/`: `jit.py`", []),
        ("`batchgnn.base.errors.BatchGNNError`, `batchgnn.partition`, `batchgnn.store`", []),
        ("`batchgnn.errors.BatchGNNError`", ["batchgnn.errors.BatchGNNError"]),
        ("`kernels/`\n\n`jit.py`", ["jit.py"]),
        ("`batchgnn/kernels/SUBJECT.py`, `tests/unit/test_kernels_*.py`", []),
        ("`tests/unit/tests_SUBJECT.py`", ["tests/unit/tests_SUBJECT.py"]),
        ("`run/config.toml`, `vertex/label`, `/data/x.h5`, `graph.h5`, `aggregate/N-%05d.h5`", []),
        ("`tests/recipes/`, `tests/recipe/`", ["tests/recipe/"]),
        ("```sh\npython tests/nothing.py --x\n```", ["tests/nothing.py"]),
        ("text tests/nothing.py", []),
    ],
)
def test_what_is_false_of_a_made_up_page(text, false):
    assert [word for _, word, _ in false_paths(text, ROOT / "README.md")] == false


def test_a_false_word_has_its_line():
    assert false_paths("a\n\nb\n`nowhere.py`", ROOT / "x.md") == [(4, "nowhere.py", "no such file")]
    assert [(each.text, each.line) for each in options("a --bb\n`--c-d 4` ---")] == [
        ("--bb", 1), ("--c-d", 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`--mode auto` (default), or", [("--mode", "auto")]),
        ("x (`--clusters`, default 32 K)", [("--clusters", "32")]),
        ("`--time` (300 s by default)", [("--time", "300")]),
        ("`--time` defaults to 1", [("--time", "1")]),
        ("**Even** (`--even-seeds`, on): x", [("--even-seeds", "on")]),
        ("`--features memory` (default where they fit)", []),
        ("`--memory` (default: what is there)", []),
        ("| `--method` | what |\n|---|---|\n| `metis` (default) | x |", [("--method", "metis")]),
        ("| option | default |\n|---|---|\n| `--lr` | 0.003 |", [("--lr", "0.003")]),
    ],
)
def test_which_defaults_a_made_up_page_states(text, expected):
    assert [(each.option, each.value) for each in defaults(text)] == expected


def test_defaults_are_compared_with_the_help():
    assert any(same("metis", word) for word in helps(Default("--method", "metis", 1)))
    assert not any(same("random", word) for word in helps(Default("--method", "random", 1)))
    assert same("600", "600.0")
    assert same("on", "True")
