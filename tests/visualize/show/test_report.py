"""The page, the summary and the command, on results whose verdict is known."""

from __future__ import annotations

import ast
import errno
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ampbench.visualize import report
from ampbench.visualize.show import pictures
from tests.visualize.conftest import cell

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[3]


class Page(HTMLParser):
    """Collect what a browser would load, and the text it would show."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        """Return the attributes of every tag with this name."""
        return [attributes for name, attributes in self.tags if name == tag]


DRAWN = ("throughput", "memory", "speed_and_memory", "speed_and_accuracy", "accuracy", "loss")
"""Of two recipes at one batch size, trained."""


@pytest.fixture
def run():
    """Run the command in this process."""
    import typer

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(report.main)
    return lambda *arguments: CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the figures, which take most of the time."""
    monkeypatch.setattr(report, "draw", lambda *_: [])


def test_the_command_writes_page_figures_and_summary(folder, run, monkeypatch):
    monkeypatch.setattr(pictures, "DPI", 40)
    for seed in range(3):
        folder.add(cell("fp32", seed=seed))
        folder.add(cell("bf16_amp", seed=seed))
        folder.add(cell("fp16", seed=seed), "diverged")
    path = folder.write()
    done = run(path)
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, str(path / "report.html"))
    assert {p.name for p in (path / "figures").iterdir()} == {
        ".drawn",
        *(f"{n}.{kind}" for n in DRAWN for kind in ("png", "svg")),
    }

    summary = (path / "summary.txt").read_text()
    assert max(map(len, summary.splitlines())) <= 100
    assert summary.startswith("VGG19 on Test GPU: ")
    assert "fp16 at batch 128, 3 of 3 runs, for example seed 0: diverged" in " ".join(summary.split())

    page = Page((path / "report.html").read_text())
    images = page.all("img")
    assert len(images) == len(DRAWN)
    assert all(i["src"].startswith("data:image/png;base64,") and i["alt"] for i in images)
    assert "fp32" in images[0]["alt"]
    assert not [(tag, str(a)[:200]) for tag, a in page.tags if tag in ("link", "iframe") or "://" in str(a)]
    said = " ".join(page.words)
    assert "loss was nan at step 7" in said
    assert "python bench/run_matrix.py experiments/x.toml" in said
    assert "Test GPU" in said
    assert 'model = "VGG19"' in said
    assert not list(path.glob(".*partial"))


def test_the_words_are_there_before_the_first_figure_is_drawn(folder, run, monkeypatch):
    folder.add(cell("fp32", epochs=0))
    path = folder.write()
    (path / "report.html").write_text("of an older plan")

    def draw(results, tell):
        assert "fp32" in (path / "summary.txt").read_text()
        assert not (path / "report.html").exists()
        return []

    monkeypatch.setattr(report, "draw", draw)
    done = run(path)
    assert done.exit_code == 0
    assert done.stderr.splitlines()[0] == f"Summary: {path / 'summary.txt'}"
    assert (path / "report.html").exists()


def test_a_folder_that_cannot_be_written_is_answered_and_says_where_else(folder, run, undrawn, monkeypatch, tmp_path):
    folder.add(cell("fp32", epochs=0))
    folder.add(cell("bf16_amp", epochs=0))
    path = folder.write()
    make = Path.mkdir

    def mkdir(self, *arguments, **options):
        if self.is_relative_to(path):
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        make(self, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    done = run(path)
    assert done.exit_code == 2
    assert done.stdout.startswith("VGG19 on Test GPU: ")
    assert done.stderr == (
        f"{path / 'figures'}: cannot be written (Read-only file system); mend its permissions, or write elsewhere: "
        "--save-dir DIR\n"
    )
    assert run(path, "--save-dir", tmp_path / "mine").exit_code == 0
    assert (tmp_path / "mine" / "report.html").exists()


def test_two_models_get_figures_of_their_own(folder, run):
    for model in ("VGG19", "ResNet18"):
        folder.add(cell("fp32", model=model, epochs=0))
    run(path := folder.write())
    names = sorted(p.name for p in (path / "figures").glob("*.png"))
    assert names == ["memory-ResNet18.png", "memory-VGG19.png", "throughput-ResNet18.png", "throughput-VGG19.png"]
    assert "Not drawn, as these results hold nothing for it: " in (path / "report.html").read_text()


def test_a_wrong_request_is_one_line_and_exit_code_2(tmp_path, run):
    done = run(tmp_path / "nowhere")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "no such folder" in done.stderr


def test_another_machine_takes_mixed(folder, run, undrawn):
    folder.add(cell("fp32", epochs=0))
    folder.add(cell("bf16", epochs=0), environment_id="e2")
    path = folder.write()
    assert run(path).exit_code == 2
    assert run(path, "--mixed").exit_code == 0


def test_nothing_in_visualize_imports_bench_or_torch():
    for path in (ROOT / "visualize").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith(("torch", "ampbench.bench", "ampbench.models")) for name in names), path


def test_statistics_and_tables_load_no_drawing_library():
    modules = "ampbench.visualize.judge.answer.answer, ampbench.visualize.show.table"
    code = f"import sys, {modules}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_subjects_whose_names_read_alike_keep_their_own_figures():
    taken = set()
    stems = [pictures._stem(subject, taken) for subject in ("a/b", "a b", "A_B", "x" * 300, "x" * 301)]
    assert stems[:3] == ["a_b", "a_b_2", "A_B_3"]
    assert len({stem.lower() for stem in stems}) == 5
    assert max(map(len, stems)) < 130


def test_a_summary_and_a_page_say_by_which_wishes_they_answer(folder, run, undrawn):
    for recipe in ("fp32", "bf16_amp"):
        folder.add(cell(recipe, epochs=0))
    path = folder.write()
    asked = "Asked with --want memory --max-memory 24.0GiB --margin 0.5 --epochs 90."
    assert run(path, "--want=memory", "--max-memory=24GiB", "--margin=0.5", "--epochs=90").exit_code == 0
    assert (path / "summary.txt").read_text().startswith(f"{asked}\n")
    assert f">{asked}</p>" in (path / "report.html").read_text()
    assert run(path).exit_code == 0
    assert "Asked with" not in (path / "summary.txt").read_text() + (path / "report.html").read_text()
