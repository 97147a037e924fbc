"""Every command of the pages, in a reader's folder, with fewer updates, seeds and environments.

TUTORIAL.md and OWN_ENVIRONMENT.md are typed whole in test_tutorial.py, benchmarks run reduced in
tests/benchmarks, examples in test_examples.py, clusters in test_cluster.py; what docs/examples
names is parsed.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quick import hurry
from small_protocol import small_table, write_toml
from small_runs import SEEDS, SHAPES, UPDATES, small_config
from test_documents import UNPARSED, commands_of, module_of

from pathb_jax.cli.main import COMMANDS
from pathb_jax.ladder.ladder import run_ladder
from pathb_jax.ladder.plan import LadderPlan
from pathb_jax.ladder.protocol import load_protocol, planned_run
from pathb_jax.runs.trainer import train

ROOT = Path(__file__).parents[1]
TYPED_WHOLE = ("TUTORIAL.md", "OWN_ENVIRONMENT.md")
LADDERS = Path("results/mesa")
LESS: dict[str, Any] = {
    "--updates": UPDATES,
    "--eval-seeds": SEEDS,
    "--train-seeds": 2,
    "--seeds": 2,
    "--keep-every": 3,
    "--at": 3,
    "--fork-at": 3,
    "--lambdas": 0.9,
    "--render-episodes": 1,
    "--backend": "cpu",
    "--anchors": "small-terminal-1M",
}
"""What a flag is given in the place of what the page gives it."""
MORE: dict[str, dict[str, Any]] = {
    "train": {"--" + name.replace("_", "-"): value for name, value in SHAPES.items()},
    "ladder": {"--protocol": "mine.toml"},
    "diagnose": {"--protocol": "mine.toml"},
    "fork": {"--updates": 2},
    "envelope": {"--updates": 2, "--train-seeds": 1},
    "anchors": {"--anchors": "small-terminal-1M", "--train-seeds": 1},
    "check": {"--updates": 4, "--vmapped-updates": 1},
}
"""Flags that a subcommand is given besides, unless the page gives them."""
MAY_REJECT = ("train", "ladder", "judge")


def reduced(name: str, words: list[str]) -> list[str]:
    """Return a command's words with less in the place of much."""
    less: list[str] = []
    dropping = False
    for word in words:
        dropping = dropping and not word.startswith("--")
        if not dropping:
            word = "mine.toml" if word.startswith("docs/") and word.endswith(".toml") else word
            less += sorted(map(str, Path().glob(word))) if "*" in word else [word]
        if word in LESS:
            less.append(str(LESS[word]))
            dropping = True
    for flag, value in MORE.get(name, {}).items():
        if flag not in words:
            less += [flag, str(value)]
    return less


def trains(name: str, words: list[str]) -> bool:
    """Whether a command trains, and does not only look."""
    if name in ("ladder", "check"):
        return not {"--plan", "--check", "--digest"} & set(words)
    return name in ("train", "fork", "envelope", "anchors", "diagnose")


def begins(name: str, words: list[str]) -> bool:
    """Whether a command needs a folder in which nothing has been trained yet."""
    goes_on = {"--adopt", "--load-checkpoint"} & set(words)
    return name in ("train", "ladder") and trains(name, words) and not goes_on


def cases() -> Iterator[Any]:
    """Each command once, as its page names it; those that train are slow."""
    files = [*ROOT.glob("README.md"), *sorted((ROOT / "docs").glob("*.md"))]
    pages = {file.name: file.read_text("utf-8") for file in files if file.name not in TYPED_WHOLE}
    by_module = {command.module: name for name, command in COMMANDS.items()}
    seen = []
    for page, script, words in commands_of(pages):
        if script.startswith(UNPARSED) or "--ray" in words:
            continue
        name = script
        if name not in COMMANDS:
            name = by_module[module_of(ROOT, script).__name__.rpartition(".")[2]]
        if (name, words) in seen:
            continue
        seen.append((name, words))
        marks = [pytest.mark.slow] if trains(name, words) else []
        yield pytest.param(name, words, id=f"{page}: {name} {' '.join(words)}", marks=marks)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a reader has by then: a run with kept states, runs of other seeds, a rejected ladder."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        hurry(patch)
        patch.setattr("pathb_jax.ladder.ladder.play_references", lambda plan: [])
        results = Path("results")
        demo = train(small_config(results / "demo", keep_every=3, run_label="demo"))
        for seed in (1, 2):
            train(small_config(results / f"seed_{seed}", seed=seed))
        mine = write_toml(Path("mine.toml"), small_table(passes=False))
        protocol = load_protocol(mine)
        small = LADDERS / "phase7v2-small-cliff-subset"
        run_ladder(LadderPlan(protocol, planned_run(protocol), small))
        shutil.copytree(small, LADDERS / "phase7v2-large-cliff-subset")
        shutil.copytree(small, results / "more-runs")
        shutil.copytree(results / "demo", "DIR")
        shutil.copy(demo.files.policy, "mine.policy.json")
        yield home


@pytest.mark.parametrize(("name", "words"), list(cases()))
def test_it_runs(
    name: str, words: list[str], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    if begins(name, words):
        shutil.rmtree(tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    hurry(monkeypatch)
    code = module_of(ROOT, name).main(reduced(name, words))
    assert code == 0 or (code == 3 and name in MAY_REJECT)
