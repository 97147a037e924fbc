"""What the README says can be typed can be typed."""

import importlib
import re
import shlex

import pytest

from pathb_jax.cli import command, ladder
from pathb_jax.config import RunConfig
from pathb_jax.config_checks import validated
from pathb_jax.runs import trainer

SET_UP = (
    "python -m pip install -c constraints.txt -e . && python scripts/ladder.py --tier Small",
    "python -m pip install -c constraints.txt -e '.[test]' && python -m pytest",
)


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(readme):
    """Code blocks: runs of lines indented by four spaces."""
    found = re.findall(r"(?:^(?: {4}.*)?\n)+", readme, re.MULTILINE)
    return [
        re.sub(r"^ {4}", "", text, flags=re.MULTILINE).strip() for text in found if text.strip()
    ]


@pytest.fixture(scope="module")
def commands(blocks):
    """(script, words) of every script that the README starts."""
    found = []
    for line in "\n".join(blocks).splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words[:1] == ["python"] and words[1:2] and words[1].endswith(".py"):
                found.append((words[1], words[2:]))
    return found


def module_of(repository, script):
    text = (repository / script).read_text(encoding="utf-8")
    return importlib.import_module(re.search(r"from (pathb_jax\.cli\.\w+) import main", text)[1])


def flags_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))


def help_of(module, capsys):
    with pytest.raises(SystemExit):
        module.main(["--help"])
    return flags_in(capsys.readouterr().out)


def test_the_set_up_commands_are_the_two_promised(blocks, repository):
    lines = "\n".join(blocks).splitlines()
    for line in SET_UP:
        assert line in lines
    assert (repository / "constraints.txt").exists()


def test_every_script_exists_and_knows_its_flags(commands, repository, capsys):
    assert {script for script, _ in commands} >= {"scripts/ladder.py", "scripts/train_ppo.py"}
    for script, words in commands:
        assert (repository / script).is_file(), script
        if script.startswith("scripts/"):
            known = help_of(module_of(repository, script), capsys)
            assert flags_in(" ".join(words)) <= known, f"{script} {words}"


def test_the_commands_are_good_input(commands):
    for script, words in commands:
        if script == "scripts/train_ppo.py":
            if "--eval-only" in words:  # what is not said is the checkpoint's
                words = ["--variant", "mixed_ppo_phase3_lambda_0_9", *words]
            validated(command.parse(RunConfig, words, ""))
        elif script == "scripts/ladder.py":
            command.parse(ladder.LadderFlags, words, "")


def test_every_flag_in_the_text_is_some_commands(readme, repository, capsys):
    text = re.sub(r"^ {4}.*$", "", readme, flags=re.MULTILINE)
    known = set()
    for script in (repository / "scripts").glob("*.py"):
        known |= help_of(module_of(repository, script), capsys)
    mentioned = flags_in(" ".join(re.findall(r"`[^`]*`", text)))
    assert mentioned
    for flag in mentioned - {"--help"}:
        # `--edit-*` stands for all that begin so.
        assert flag in known or (flag.endswith("-") and any(k.startswith(flag) for k in known))


def test_every_path_of_the_project_exists(readme, repository):
    text = " ".join(re.findall(r"`([^`\n]*)`", readme))
    roots = "envs|pathb_jax|scripts|benchmarks|tests|docs|examples"
    paths = re.findall(rf"(?<![\w/.])((?:{roots})/[\w/.]*)", text)
    assert len(paths) > 5
    for path in paths:
        assert (repository / path).exists(), path


def test_the_python_examples_run(blocks, monkeypatch):
    examples = [block for block in blocks if re.match(r"(from|import) ", block)]
    assert examples
    trained = []

    def train(config, observer=None):
        trained.append(config)
        return type("Outcome", (), {"summaries": {10000: {"success_rate": 0.5}}})

    monkeypatch.setattr(trainer, "train", train)
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})
    assert len(trained) == sum("train(" in example for example in examples)


def test_nothing_is_left_to_fill_in(readme):
    assert "@@" not in readme
    assert not re.search(r"\b(TODO|TBD|FIXME)\b", readme)
