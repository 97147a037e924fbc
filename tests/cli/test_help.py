"""--help of both commands: every flag with its default, in groups, at once."""

import re
import subprocess
import sys

import pytest

from pathb_jax.cli import ladder, train

TRAIN_FLAGS = {
    "variant": "none: needed without --env",
    "tier": "Small",
    "sensor-tier": "local-probe-field",
    "seed": "0",
    "seed-start": "20000",
    "batch-envs": "64",
    "rollout-length": "128",
    "updates": "80",
    "minibatch-size": "256",
    "epochs": "4",
    "lr": "0.0003",
    "gamma": "0.99",
    "gae-lambda": "0.95",
    "clip-range": "0.2",
    "entropy-coef": "0.01",
    "value-coef": "0.5",
    "max-grad-norm": "0.5",
    "log-std-init": "-0.5",
    "eval-seed-start": "10000",
    "eval-seeds": "64",
    "eval-only": "False",
    "eval-every": "a tenth of the run",
    "eval-at": "none",
    "success-floor": "0.75",
    "false-basin-beta": "2.0",
    "mixed-lambda": "the variant's own",
    "reward-compose-form": "canonical",
    "reward-channel-scale": "1.0",
    "signature-shape": "the variant's own",
    "signature-threshold": "0.5",
    "load-checkpoint": "none",
    "reset-optimizer": "False",
    "run-label": "''",
    "out": "results/mesa/<variant>",
    "progress": "True",
    "backend": "auto",
}
"""Flag -> its default, as issue "From a fresh clone to a verdict" lists them."""

LADDER_FLAGS = {
    "protocol": "path_b",
    "tier": "protocol's",
    "updates": "protocol's",
    "seed": "protocol's",
    "out": "results/mesa/phase7v2-<tier>-cliff-subset",
    "note": "",
    "skip-batch": "False",
    "plan": "False",
    "backend": "auto",
}
CHOICES = {"--tier": "{Small,Medium,Large}", "--backend": "{auto,cpu,gpu,tpu}"}


@pytest.fixture(scope="module")
def helps():
    """What each script prints for --help in a process of its own, and the modules it imported."""
    found = {}
    for script, module in (("train_ppo", "train"), ("ladder", "ladder")):
        code = (
            f"import sys; sys.argv[1:] = ['--help']\n"
            f"from pathb_jax.cli.{module} import main\n"
            f"try: main()\nfinally: print(*sorted(sys.modules), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found[script] = done.stdout, set(done.stderr.split())
    return found


def entries(text):
    """Split a help text into {flag: its whole entry, on one line}."""
    lines = [re.sub(r"^│ ?| *│$", "", line) for line in text.splitlines()]
    entries, flag = {}, None
    for line in lines:
        if match := re.match(r"(?:-h, )?--(?:no-)?([a-z-]+)", line):
            flag = match[1]
            entries[flag] = line
        elif flag and line.startswith(" "):
            entries[flag] += " " + line.strip()
        elif flag and not re.match(r"[╭╰─]", line):
            entries[flag] += line.strip()
        else:
            flag = None
    return entries


@pytest.mark.parametrize(
    ("script", "flags"), [("train_ppo", TRAIN_FLAGS), ("ladder", LADDER_FLAGS)]
)
def test_every_flag_is_there_with_its_default(helps, script, flags):
    found = entries(helps[script][0])
    assert set(flags) <= set(found)
    for flag, default in flags.items():
        assert default in found[flag], found[flag]


def test_the_entries_say_something_beyond_their_names(helps):
    for text, _ in helps.values():
        for flag, entry in entries(text).items():
            assert len(entry.split()) >= 5, f"--{flag}: {entry}"


def test_flags_come_in_groups(helps):
    groups = re.findall(r"╭─ ([a-z ]+) ─", helps["train_ppo"][0])
    assert len(groups) >= 5
    assert len(set(groups)) == len(groups)


def test_exit_codes_are_told(helps):
    for text, _ in helps.values():
        assert "Exit status: 0 " in text


@pytest.mark.parametrize("script", ["train_ppo", "ladder"])
def test_help_does_not_wait_for_jax(helps, script):
    modules = helps[script][1]
    assert "pathb_jax.config" in modules
    assert not modules & {"jax", "flax", "gymnax", "orbax", "matplotlib"}


@pytest.mark.parametrize("main", [train.main, ladder.main])
def test_help_ends_with_0_in_process_too(main, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    assert "usage:" in capsys.readouterr().out


def test_choices_are_listed(helps):
    for text, _ in helps.values():
        for flag, choices in CHOICES.items():
            assert set(choices.strip("{}").split(",")) <= set(
                re.split(r"\W+", entries(text)[flag.removeprefix("--")])
            )
