"""Mistakes on the command line: one sentence of the same form, whatever the command and mistake."""

import pytest

from batchgnn.cli import main

GRID = ["data", "generate", "grid"]
TRAIN = ["train", "s", "--run", "r"]
MISTAKES = {
    "SHARDS is missing. See batchgnn train --help.": ["train"],
    "--run is missing. See batchgnn train --help.": ["train", "s"],
    "--hidden needs a value.": [*TRAIN, "--hidden"],
    "--hidden 1.5: needed a whole number.": [*TRAIN, "--hidden", "1.5"],
    "--fanouts 2.5: needed a whole number.": [*TRAIN, "--fanouts", "3", "2.5"],
    "--seed inf: needed a whole number.": [*TRAIN, "--seed", "inf"],
    'invalid value for --stages: unable to convert "two" into a whole number or auto.': [
        *TRAIN,
        "--stages",
        "two",
    ],
    'invalid value for --fill: unable to convert "lots" into a number or mean.': [
        *("data", "convert", "edges", "e", "g", "--fill", "lots"),
    ],
    'invalid value for --hidden: unable to convert "x" into int.': [*TRAIN, "--hidden", "x"],
    "there is no option --hiden. Did you mean --hidden?": [*TRAIN, "--hiden", "5"],
    'invalid value "2.0" for --dropout. Must be < 1.': [*TRAIN, "--dropout", "2"],
    'invalid value "gnn" for --model. Choose from: "sage",': [*TRAIN, "--model", "gnn"],
    "t is one argument too many.": ["train", "s", "t", "--run", "r"],
    "there is no option -z.": ["doctor", "-z"],
    "x is one argument too many. See batchgnn doctor --help.": ["doctor", "x"],
    'unknown command "generat". Did you mean "generate"?': ["data", "generat"],
    "OUT is missing. See batchgnn data generate grid --help.": GRID,
    "--vertices 9.5: needed a whole number.": [*GRID, "o", "--vertices", "9.5"],
    "--shards 2.5: needed a whole number.": ["partition", "g", "s", "--shards", "2.5"],
    "--nodes 1.5: needed a whole number.": ["slurm", "write", "f", "--nodes", "1.5"],
    "--ranks 1.5: needed a whole number.": ["launch", "-n", "1.5", "--", "train"],
    'invalid value "0" for --ranks. Must be >= 1.': ["plan", "s", "--ranks", "0"],
    "parameter --hidden specified multiple times.": [*TRAIN, "--hidden", "5", "--hidden", "6"],
}


@pytest.mark.parametrize(("said", "given"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_one_line(said, given, capsys):
    with pytest.raises(SystemExit) as end:
        main(given)
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert err.startswith(f"batchgnn: {said}")
    assert err.count("\n") == 1


def test_whole_numbers_of_a_settings_file_too(tmp_path, capsys):
    (tmp_path / "s.toml").write_text("hidden = 1.5\n")
    with pytest.raises(SystemExit):
        main([*TRAIN, "--config", str(tmp_path / "s.toml")])
    assert "--hidden 1.5: needed a whole number." in capsys.readouterr().err
