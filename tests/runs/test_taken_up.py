"""A finished run from another environment: reported by its own command, no evidence for a study."""

import copy

import pytest
from small_runs import FLAGS, command_line, small_config

from pathb_jax.cli.train import main
from pathb_jax.errors import InputError
from pathb_jax.runs.outcome import check_trained_here
from pathb_jax.runs.trainer import train
from pathb_jax.studies import anchors
from pathb_jax.system import provenance


@pytest.fixture
def elsewhere(monkeypatch):
    """Make this process another program than the one that trained what is there."""
    there = copy.deepcopy(provenance.environment())
    there["source"]["program"] = "f" * 64
    monkeypatch.setattr(provenance, "environment", lambda: there)
    return there


def test_its_own_command_only_reports(finished, elsewhere, capsys):
    words = command_line(**{**FLAGS, "out": finished.files.out})
    assert main(words) == 0
    assert "success" in capsys.readouterr().out


def test_as_evidence_it_is_refused_unless_accepted(finished, elsewhere):
    outcome = train(finished.config)
    with pytest.raises(InputError, match=f"-> '{'f' * 64}'") as caught:
        check_trained_here(finished.config, outcome)
    assert "--accept-environment-change" in str(caught.value)
    accepting = small_config(finished.files.out, accept_environment_change=True)
    check_trained_here(accepting, train(accepting))
    check_trained_here(finished.config, outcome, outcome.manifest.environment)


def test_what_was_trained_just_now_needs_no_comparison(finished, elsewhere):
    check_trained_here(finished.config, finished.outcome)


def test_the_same_program_counts(finished):
    check_trained_here(finished.config, train(finished.config))


def test_the_anchors_study_compares(finished, elsewhere, monkeypatch):
    row = anchors.ANCHORS[0]
    monkeypatch.setattr(
        anchors, "run_config", lambda *words: small_config(finished.files.out, eval_seeds=4)
    )
    with pytest.raises(InputError, match=r"source\.program"):
        anchors.train_one(row, 0, finished.files.out, None)
