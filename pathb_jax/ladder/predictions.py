"""The grading of a protocol's predictions (docs/spec/ladder.md, "Predictions")."""

from collections.abc import Mapping, Sequence

from pathb_jax.ladder.schema import Prediction
from pathb_jax.store.record_schema import Grade


def grade_predictions(
    predictions: Sequence[Prediction], outcomes: Mapping[str, Sequence[bool | None]]
) -> dict[str, Grade]:
    """Grade the protocol's predictions by what the stages said.

    Args:
        predictions: each says that a candidate clears a stage.
        outcomes: tag -> `passed` of each stage, for the candidates judged so far, in the order of
            the protocol. A diverged candidate has failed stage 1.

    Returns:
        prediction id -> untested while the candidate has not been judged or has failed an earlier
        stage, else confirmed or falsified.
    """
    return {prediction.id: _grade(prediction, outcomes) for prediction in predictions}


def _grade(prediction: Prediction, outcomes: Mapping[str, Sequence[bool | None]]) -> Grade:
    before = prediction.stage - 1
    reached = {
        tag: passed[before]
        for tag, passed in outcomes.items()
        if len(passed) > before and all(stage is True for stage in passed[:before])
    }
    tag = next(iter(reached), "") if prediction.candidate == "first" else prediction.candidate
    verdict = reached.get(tag)
    if verdict is None:
        return "untested"
    return "confirmed" if verdict else "falsified"
