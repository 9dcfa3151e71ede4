"""CSV files as people have them: what is taken and said, what is refused, and by which line."""

import numpy as np
import pytest

from trm_jax.data.csv_puzzles import MAX_LINE
from trm_jax.data.format import load_dataset
from trm_jax.data.maze import __main__ as maze
from trm_jax.data.sudoku import __main__ as sudoku

SOLVED = "1234341221434321"
OPEN = "12343412214.0..."
LARGER = "123456456123231564564231312645645312"
TOKENS = [2, 3, 4, 5, 4, 5, 2, 3, 3, 2, 5, 1, 1, 1, 1, 1]
TWO = f"question,answer\n{OPEN},{SOLVED}\n{SOLVED},{SOLVED}\n"


def build(tmp_path, content, *more):
    """Build a 4x4 test set from the bytes of a file."""
    source = tmp_path / "a.csv"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    code = sudoku.main(["build", "--out", str(out), "--box", "2x2", "--test", str(source), *more])
    return code, out / "test"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TWO, None),
        (TWO + "\n\n  \n", None),
        (TWO.replace("\n", "\r\n"), None),
        (TWO.replace("\n", "\r"), None),
        (TWO.replace(OPEN, f'"{OPEN}"'), None),
        (b"\xef\xbb\xbf" + TWO.encode(), "UTF-8 with a byte order mark"),
        (TWO.encode("utf-16"), "UTF-16"),
        (b"\xfe\xff" + TWO.encode("utf-16-be"), "UTF-16"),
        (TWO.replace("\n", "\n\n", 2), "blank lines left out"),
        (TWO.replace(",", ";"), "semicolons between columns"),
        (TWO.replace(",", "\t"), "tabs between columns"),
        (TWO.replace("question,answer", '"question";"answer"').replace(",", ";"), "semicolons"),
        (TWO.replace("question,answer", '"question"\t"answer"').replace(",", "\t"), "tabs between"),
        (TWO.replace(",", " , "), "columns 'question' and 'answer' as question and answer, spaces"),
        (TWO.replace("question,answer", "Question,ANSWER"), "columns 'Question' and 'ANSWER' as"),
        (TWO.replace("question,answer", "quizzes,solutions"), "columns 'quizzes' and 'solutions'"),
        (TWO.replace("question,answer", "puzzle,solution"), "columns 'puzzle' and 'solution'"),
        (TWO.replace(".", "_"), "_ as blank"),
        (TWO.replace(".", "0"), None),
    ],
)
def test_what_leaves_no_doubt_is_taken_and_said(tmp_path, capsys, content, said):
    code, split = build(tmp_path, content)
    error = capsys.readouterr().err
    assert code == 0, error
    data = load_dataset(split)
    assert data.inputs.tolist()[0] == TOKENS
    assert len(data) == 2
    if said is None:
        assert error == ""
    else:
        assert error.startswith(f"note: {tmp_path / 'a.csv'}: read ")
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (
            f'question,answer\n{OPEN},{SOLVED}\n"{OPEN[:4]}\n{OPEN[4:]}",{SOLVED}\n',
            "line 3: a quot",
        ),
        (f'question,answer\n"{OPEN},{SOLVED}\n{OPEN},{SOLVED}\n', "line 2: a quoted cell does not"),
        (f"question,answer\n{OPEN},{SOLVED},\n", "line 2: too many columns"),
        (f"question,answer\n{OPEN}\n", "line 2: too few columns"),
        (f"question,answer\n{OPEN[:-1]}\0,{SOLVED}\n", "line 2: a NUL byte: this is no text"),
        (
            f"question,answer\n{OPEN[:-1]}\xe9,{SOLVED}\n".encode("latin-1"),
            "line 2: question has by",
        ),
        (f"question,answer\n{'1' * 140_000},{SOLVED}\n", "line 2: question has 140000 cells"),
        (f'question,answer\n"{"1" * 140_000}",{SOLVED}\n', "line 2: question has 140000 cells"),
        (f"question,answer\n{'1' * (MAX_LINE + 5)},{SOLVED}\n", "line 2: more than 4,194,304 char"),
        (TWO.encode("utf-16-le"), "a NUL byte"),
        (f"question,answer,answer\n{OPEN},{SOLVED},{SOLVED}\n", r"columns \['answer', 'answer'\]"),
        (f"puzzle,question,answer\n{OPEN},{OPEN},{SOLVED}\n", "any of which may be the question"),
        (f"{OPEN},{SOLVED}\n", r"lacks the columns \['question', 'answer'\]; its first line is"),
        (TWO.replace(",", "|"), r"lacks the columns \['question', 'answer'\]"),
        (f"question,answer\n{'.' * 16},{SOLVED}\n", "line 2: question has several solutions"),
        (f"question,answer\n{OPEN},{SOLVED[4:] + SOLVED[:4]}\n", "line 2: answer contradicts"),
        ("\n\n", "lacks the columns"),
        ("question,answer\n\n", "has no puzzles"),
    ],
)
def test_everything_else_is_refused_by_its_line(tmp_path, capsys, content, what):
    code, split = build(tmp_path, content)
    error = capsys.readouterr().err
    assert code == 2
    line = error.splitlines()[-1]
    assert line.startswith("error: ")
    with pytest.raises(ValueError, match=what):
        raise ValueError(line)
    assert not split.parent.exists()


def test_uniqueness_is_proven_unless_it_is_not_asked_for(tmp_path, capsys):
    content = f"question,answer\n{'.' * 16},{SOLVED}\n"
    assert build(tmp_path, content)[0] == 2
    assert build(tmp_path, content, "--no-check")[0] == 0


def disguised(grid: str) -> str:
    """Exchange the digits 1 and 2, then the first two rows."""
    renamed = grid.translate(str.maketrans("12", "21"))
    return renamed[4:8] + renamed[:4] + renamed[8:]


@pytest.mark.parametrize("image", [lambda grid: grid, disguised])
def test_test_puzzles_that_are_trained_on_are_refused(tmp_path, capsys, image):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text(f"question,answer\n{OPEN},{SOLVED}\n")
    test.write_text(f"question,answer\n{SOLVED},{SOLVED}\n{image(OPEN)},{image(SOLVED)}\n")
    command = ["build", "--out", str(tmp_path / "out"), "--box", "2x2"]
    command += ["--train", str(train), "--test", str(test)]
    assert sudoku.main(command) == 2
    assert "1 of 2 test puzzles of" in (error := capsys.readouterr().err)
    assert "up to symmetry, e.g. line 3" in error
    assert not (tmp_path / "out").exists()
    assert sudoku.main([*command, "--allow-overlap"]) == 0
    assert len(load_dataset(tmp_path / "out" / "test")) == 2


@pytest.mark.parametrize("first", ["train", "test"])
def test_splits_that_are_built_one_after_the_other_are_compared_too(tmp_path, capsys, first):
    files = {name: tmp_path / f"{name}.csv" for name in ("train", "test")}
    files["train"].write_text(f"question,answer\n{OPEN},{SOLVED}\n")
    files["test"].write_text(f"question,answer\n{disguised(OPEN)},{disguised(SOLVED)}\n")
    second = "test" if first == "train" else "train"
    command = ["build", "--out", str(out := tmp_path / "out"), "--box", "2x2"]
    assert sudoku.main([*command, f"--{first}", str(files[first]), "--num-aug", "2"]) == 0
    images = ", 3 with their images" if first == "train" else ""
    assert capsys.readouterr().out == f"{out / first}: 1 puzzles{images}\n"
    assert sudoku.main([*command, f"--{second}", str(files[second])]) == 2
    place = "line 2" if first == "train" else "puzzle 0"
    assert f"up to symmetry, e.g. {place}:" in capsys.readouterr().err
    assert not (out / second).exists()
    files[second].write_text(f"question,answer\n{LARGER},{LARGER}\n")
    other = ["build", "--out", str(out), "--box", "2x3", f"--{second}", str(files[second])]
    assert sudoku.main(other) == 2
    assert "holds puzzles of 16 cells, and these have 36" in capsys.readouterr().err


def test_a_built_split_is_not_said_to_be_generated(tmp_path, capsys):
    out, source = tmp_path / "out", tmp_path / "a.csv"
    made = ["generate", "--out", str(out), "--box", "2x2", "--num-train", "3", "--num-test", "1"]
    assert sudoku.main([*made, "--workers", "1"]) == 0
    assert (out / "generator.json").is_file()
    source.write_text(f"question,answer\n{OPEN},{SOLVED}\n")
    command = ["build", "--out", str(out), "--box", "2x2", "--train", str(source)]
    assert sudoku.main([*command, "--allow-overlap"]) == 0
    assert not (out / "generator.json").exists()


def test_test_mazes_that_are_trained_on_are_refused(tmp_path, capsys):
    train, test = tmp_path / "train.csv", tmp_path / "test.csv"
    train.write_text("question,answer\nS G   ,SoG   \n")
    test.write_text("question,answer\n   G S,   GoS\n")
    command = ["build", "--out", str(tmp_path / "out"), "--shape", "2x3"]
    command += ["--train", str(train), "--test", str(test)]
    assert maze.main(command) == 2
    assert "1 of 1 test puzzles" in capsys.readouterr().err
    assert maze.main([*command, "--allow-overlap"]) == 0
    data = load_dataset(tmp_path / "out" / "train")
    np.testing.assert_array_equal(data.inputs, [[3, 2, 4, 2, 2, 2]])  # spaces at the end are cells
    assert data.metadata.puzzles.grid == (2, 3)
