"""What the documents say can be typed can be typed, and what they name is there."""

import importlib
import re
import runpy
import shlex
import subprocess
from types import SimpleNamespace

import pytest

from pathb_jax import api
from pathb_jax.cli import command
from pathb_jax.cli.main import COMMANDS
from pathb_jax.config_checks import validated
from pathb_jax.ladder.protocol import load_protocol

TEST_COMMAND = "python -m pip install -c constraints.txt -e '.[test]' && python -m pytest"
"""What .ci/run takes from the README."""
ROOTS = "envs|pathb_jax|scripts|benchmarks|tests|docs"
UNPARSED = ("benchmarks/", "examples/")
"""Scripts that are no command of the package: that they are there is all that is asked."""


@pytest.fixture(scope="module")
def pages(repository):
    """Path from the repository -> text, of every Markdown page that is tracked."""
    words = ["git", "ls-files", "-z", "*.md"]
    listed = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name]
    assert {"README.md", "CONTRIBUTING.md", "docs/LADDER.md", "docs/spec/trainer.md"} <= set(names)
    return {name: (repository / name).read_text(encoding="utf-8") for name in names}


@pytest.fixture(scope="module")
def commands(pages):
    """(page, subcommand or script, words) of all that the pages' code blocks start."""
    started = commands_of(pages)
    assert {name for _, name, _ in started} >= set(COMMANDS)
    return started


def commands_of(pages):
    started = []
    for page, text in pages.items():
        for line in "\n".join(blocks(text)).splitlines():
            for part in line.removesuffix(" &").split(" && "):
                if re.match(r"pathb |python \w+/\w+\.py", part):
                    name, *words = shlex.split(part, comments=True)[1:]
                    started.append((page, name, words))
    return started


def blocks(text):
    """Code blocks: runs of lines indented by four spaces."""
    runs = re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)
    return [
        re.sub(r"^ {4}", "", run, flags=re.MULTILINE).strip("\n") for run in runs if run.strip()
    ]


def module_of(repository, name):
    """The module of a subcommand, or of a script in scripts/."""
    if name in COMMANDS:
        return importlib.import_module(f"pathb_jax.cli.{COMMANDS[name].module}")
    text = (repository / name).read_text(encoding="utf-8")
    return importlib.import_module(re.search(r"from (pathb_jax\.cli\.\w+) import main", text)[1])


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def help_of(module, capsys):
    with pytest.raises(SystemExit):
        module.main(["--help"])
    return flags_in(capsys.readouterr().out)


def test_the_readme_has_the_test_command(pages):
    assert TEST_COMMAND in "\n".join(blocks(pages["README.md"])).splitlines()


def test_the_readme_takes_ten_minutes(pages):
    assert len(pages["README.md"].splitlines()) <= 100


def test_every_command_exists_and_knows_its_flags(commands, repository, capsys):
    known = {name: help_of(module_of(repository, name), capsys) for name in COMMANDS}
    for page, name, words in commands:
        if name.startswith(UNPARSED):
            assert (repository / name).is_file(), f"{page}: {name}"
            continue
        if name not in known:
            known[name] = help_of(module_of(repository, name), capsys)
        assert flags_in(" ".join(words)) <= known[name], f"{page}: {name} {words}"


def test_the_commands_are_good_input(commands, repository):
    """The words parse; what is said of a run is allowed."""
    classes = {COMMANDS[name].module: COMMANDS[name].flags for name in COMMANDS}
    for page, name, words in commands:
        if page == "docs/ANCHORS.md" or name.startswith(UNPARSED):
            continue
        module = module_of(repository, name)
        flags_class = getattr(module, classes[module.__name__.rpartition(".")[2]])
        if "--eval-only" in words:  # what is not said is the checkpoint's
            words = ["--variant", "mixed_ppo_phase3_lambda_0_9", *words]
        flags = command.parse(flags_class, words, "")
        if module.__name__.endswith(".train"):
            validated(flags.run)


def test_every_flag_in_the_text_is_some_commands(pages, repository, capsys):
    known = {"--help", "--version", "--completion"}
    for name in COMMANDS:
        known |= help_of(module_of(repository, name), capsys)
    for page, text in pages.items():
        prose = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
        for flag in flags_in(" ".join(re.findall(r"`[^`]*`", prose))):
            # `--edit-*` stands for all that begin so.
            begins = flag.endswith("-") and any(k.startswith(flag) for k in known)
            assert flag in known or begins, f"{page}: {flag}"


def test_every_path_of_the_project_exists(pages, repository):
    count = 0
    for page, text in pages.items():
        for path in re.findall(rf"(?<![\w/.<-])((?:{ROOTS})/[\w/.-]*[\w/])", text):
            if page == "CHANGELOG.md" or re.search(r"NAME|FILE", path):
                continue
            assert (repository / path).exists(), f"{page}: {path}"
            count += 1
    assert count > 50


def test_every_link_leads_somewhere(pages, repository):
    count = 0
    for page, text in pages.items():
        for target in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        ):
            if target.startswith(("https://", "http://")):
                continue
            path, _, section = target.partition("#")
            place = (repository / page).parent / path if path else repository / page
            assert place.exists(), f"{page}: {target}"
            if section:
                assert section in sections(place.read_text(encoding="utf-8")), f"{page}: {target}"
            count += 1
    assert count > 20


def sections(text):
    """The names that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_specification_that_docstrings_cite_is_there(repository):
    """A page, and the section in quotation marks after it."""
    count = 0
    for root in ("pathb_jax", "envs", "tests", "benchmarks"):
        for path in (repository / root).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for page in re.findall(r"docs/spec/\w+\.md", text):
                assert (repository / page).is_file(), f"{path}: {page}"
                count += 1
            for page, title in re.findall(r'(docs/spec/\w+\.md),?\s\(?"([^"]+)"', text):
                headings = (repository / page).read_text(encoding="utf-8")
                assert f"# {' '.join(title.split())}\n" in headings, f"{path}: {page}, {title}"
    assert count > 20


def test_the_python_examples_run(pages, monkeypatch):
    examples = [block for block in blocks(pages["README.md"]) if re.match(r"(from|import) ", block)]
    assert examples
    trained = []
    run = SimpleNamespace(files=SimpleNamespace(out="folder"))

    def train(config, *, seeds):
        trained.append(validated(config))
        return [run] * seeds

    def evaluate(policy, *, seed_start, seeds):
        assert (policy, seed_start, seeds) == ("folder", 10000, 256)
        return SimpleNamespace(success_rate=0.5)

    monkeypatch.setattr(api, "train", train)
    monkeypatch.setattr(api, "load_policy", str)
    monkeypatch.setattr(api, "evaluate", evaluate)
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    assert len(trained) == sum("train(" in example for example in examples)


def test_nothing_is_left_to_fill_in(pages):
    for page, text in pages.items():
        assert "@@" not in text, page
        assert not re.search(r"\b(TODO|TBD|FIXME)\b", text), page


@pytest.mark.parametrize(
    ("folder", "page", "lines"), [("anchors", "UNWINDING", 19), ("medium", "MEDIUM", 4)]
)
def test_the_falls_are_those_that_the_script_prints(
    pages, repository, capsys, monkeypatch, folder, page, lines
):
    monkeypatch.setattr("sys.argv", ["tables.py", str(repository / "docs" / folder)])
    runpy.run_path(str(repository / "docs/anchors/tables.py"), run_name="__main__")
    falls = [line for line in capsys.readouterr().out.splitlines() if line.count("|") == 8]
    assert len(falls) == lines  # with the heading
    assert set(falls) <= set(pages[f"docs/{page}.md"].splitlines())


def test_the_medium_protocol_asks_as_path_b_strict_does(repository):
    medium = load_protocol(str(repository / "docs/medium/path_b_medium.toml"))
    strict = load_protocol("path_b_strict")
    for table in ("stages", "evaluation", "voting", "failure_modes"):
        assert getattr(medium, table) == getattr(strict, table)
    ours, its = ([candidate.change for candidate in p.candidates] for p in (medium, strict))
    assert [c for c in ours if c not in its] == [{"lr": 3.333e-5}, {"max_grad_norm": 1e6}]
    assert [c for c in its if c not in ours] == [{"lr": 1e-4}]


def test_no_limit_is_asked_as_the_medium_protocol_asks(repository):
    alone, medium = (
        load_protocol(str(repository / f"docs/medium/{name}.toml"))
        for name in ("no_limit", "path_b_medium")
    )
    for table in ("stages", "evaluation", "voting", "failure_modes", "run", "hparams"):
        assert getattr(alone, table) == getattr(medium, table)
    assert [c.change for c in alone.candidates] == [medium.candidates[-1].change]
