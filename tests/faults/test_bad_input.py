"""2 000 generated bad inputs: exit code 2 with one line, or success; nothing else, ever.

What passes all checks would train, or play for minutes: `Accepted` is raised in its place.
"""

import contextlib
import io
import os
import shutil
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nasty import WORDS, changed_bytes, changed_tree, json_file
from small_protocol import small_table, to_toml
from small_runs import SHAPES, VARIANT, read

from pathb_jax.cli import anchors, evaluate, ladder, reproducibility, train
from pathb_jax.ladder import estimate
from pathb_jax.runs import evaluating, trainer
from pathb_jax.store.integrity import seal

pytestmark = [pytest.mark.faults, pytest.mark.filterwarnings("ignore")]

EXAMPLES = int(os.environ.get("PATHB_FAULTS_EXAMPLES", "2000"))
SECONDS = 30.0
"""Of this process's CPU time, which other work on the machine does not lengthen."""
MAINS = {
    "train": train.main,
    "ladder": ladder.main,
    "evaluate": evaluate.main,
    "reproducibility": reproducibility.main,
    "anchors": anchors.main,
}
FLAGS = {
    "train": "variant updates seed lr gamma gae-lambda clip-range mixed-lambda critic-lr tier "
    "sensor-tier batch-envs rollout-length minibatch-size epochs seed-start log-std-init "
    "lr-schedule entropy-schedule eval-seed-start eval-seeds eval-every success-floor run-label "
    "out load-checkpoint backend signature-shape reward-channel-scale max-grad-norm "
    "reset-optimizer eval-only fresh progress truncation train-starts",
    "ladder": "protocol tier updates seed out note backend skip-batch plan fresh progress",
    "evaluate": "checkpoint policy controller sensor-tier eval-seed-start eval-seeds backend "
    "probe-rotate probe-translate probe-scale probe-mirror probe-delay probe-decoy edit-channel "
    "edit-step edit-scale edit-shift edit-point edit-mask edit-replacement csv json render "
    "render-episodes",
    "reproducibility": "digest parts",
    "anchors": "anchors table doc out page-only backend",
}


class Accepted(BaseException):
    """The input passed every check and work would begin."""


def accept(*arguments, **more):
    raise Accepted


def examples(share):
    """Run a share of all examples, the same ones every time, without shrinking for minutes."""
    return settings(
        max_examples=max(1, round(EXAMPLES * share)),
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


@pytest.fixture(scope="module")
def counted(tally):
    count = {"tried": 0, "refused": 0, "accepted": 0, "seconds": 0.0}
    yield count
    note = "{refused} refused, {accepted} accepted, the slowest took {seconds:.1f} s of CPU"
    survived = count["refused"] + count["accepted"]
    tally("generated bad input", count["tried"], survived, note.format(**count))


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory, finished, whole):
    """A folder to be in, holding things that flags may point to; no work ever begins."""
    from pathb_jax.evaluation import evaluator

    folder = tmp_path_factory.mktemp("place")
    before = os.getcwd()  # noqa: PTH109
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train", accept)
        patch.setattr(estimate, "measure", accept)
        patch.setattr(evaluator, "evaluate", accept)
        patch.setattr(evaluating, "evaluate_policy", accept)
        patch.setattr("pathb_jax.studies.anchors.train_one", accept)
        os.chdir(folder)
        yield folder
        os.chdir(before)


def furnish(folder):
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    (folder / "file").write_text("= mine")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")


def assert_handled(command, words, counted, codes=(2,), watched=None):
    """Exit code 2, one line, nothing written; or accepted; or a ladder that does not hold."""
    before = None if watched is None else listing(watched)
    out, err = io.StringIO(), io.StringIO()
    started = time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = MAINS[command](words)
        except Accepted:
            code = None
        except SystemExit as stop:
            code = stop.code or 0
    seconds = time.process_time() - started
    counted["tried"] += 1
    counted["seconds"] = max(counted["seconds"], seconds)
    assert seconds < SECONDS, (command, words, seconds)
    if code in (None, 0, 3):  # accepted, or --help, or a rate below the floor
        counted["accepted"] += 1
        return
    text = err.getvalue()
    lines = text.splitlines()
    if (command, code) == ("ladder", 1):  # it reports, and names what of it does not hold
        notices = ("out: this ladder has finished", "record: ", "note: ", "page: ")
        problems = [line for line in lines if not line.startswith(notices)]
        assert problems, (words, text[-2000:])
        assert all(line.startswith("does not hold: ") for line in problems), (words, text[-2000:])
        counted["refused"] += 1
        return
    assert code in codes, (command, words, code, text[-500:])
    assert len(lines) == 1, (command, words, text[-2000:])
    assert lines[0].startswith("error: "), (command, words, text)
    assert before is None or listing(watched) == before, (command, words)
    counted["refused"] += 1


def listing(folder):
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@st.composite
def command_lines(draw):
    command = draw(st.sampled_from(sorted(FLAGS)))
    names = draw(st.lists(st.sampled_from(FLAGS[command].split()), max_size=4, unique=True))
    base = {
        "train": {"variant": [VARIANT]}
        | {k.replace("_", "-"): [str(v)] for k, v in SHAPES.items()},
        "ladder": {},
        "evaluate": {"controller": ["oracle"], "eval-seeds": ["1"]},
        "reproducibility": {"digest": ["folder"]},
        "anchors": {"out": ["runs"], "doc": ["page.md"]},
    }[command]
    for name in names:
        base[name] = draw(st.lists(WORDS, max_size=3))
    words = [word for name, values in base.items() for word in (f"--{name}", *values)]
    return command, words + draw(st.lists(WORDS, max_size=1))


@examples(0.3)
@given(line=command_lines())
def test_flags(line, place, counted):
    furnish(place)
    command, words = line
    assert_handled(command, words, counted, watched=place)


TABLE = small_table(passes=True)


def toml_of(table):
    lines = []
    for key, value in table.items():
        with contextlib.suppress(TypeError):
            lines.append(f"{key} = {to_toml(value)}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


@examples(0.25)
@given(
    data=st.one_of(
        changed_tree(TABLE).filter(lambda t: isinstance(t, dict)).map(toml_of),
        changed_bytes(toml_of(TABLE)),
    )
)
def test_protocols(data, place, counted):
    furnish(place)
    (place / "protocol.toml").write_bytes(data)
    words = ["--protocol", "protocol.toml", "--out", "out"]
    assert_handled("ladder", words, counted, watched=place)


@pytest.fixture(scope="module")
def policy(finished):
    return read(finished.files.policy)


def test_policy_files(policy, place, counted):
    @examples(0.15)
    @given(data=json_file(policy))
    def each(data):
        furnish(place)
        (place / "x.policy.json").write_bytes(data)
        assert_handled("evaluate", ["--policy", "x.policy.json"], counted, watched=place)

    each()
    huge = {**policy, "hidden_size": 10**9, "depth": 10**9}
    deep = b"[" * 10**6
    for data in (repr(huge).replace("'", '"').encode(), deep, b'{"layers": ' + deep, b"1" * 10**6):
        (place / "x.policy.json").write_bytes(data)
        assert_handled("evaluate", ["--policy", "x.policy.json"], counted, watched=place)


def test_checkpoint_metadata(finished, place, counted):
    """Sealed again after the change, so that the manifest agrees with a hostile state.json."""
    source = finished.files.checkpoints / "6"
    state = read(source / "state.json")

    @examples(0.1)
    @given(data=json_file(state), sealed=st.sampled_from([True, True, True, False]))
    def each(data, sealed):
        furnish(place)
        step = place / "6"
        shutil.copytree(source, step)
        (step / "state.json").write_bytes(data)
        if sealed:
            (step / "manifest.json").unlink()
            seal(step)
        for command, words in (
            ("evaluate", ["--checkpoint", "6"]),
            ("train", ["--variant", VARIANT, "--load-checkpoint", "6", "--eval-only"]),
        ):
            assert_handled(command, words, counted, watched=place)

    each()


def test_files_of_a_run(finished, place, counted, monkeypatch):
    """Histories, evaluations, summaries, manifests: by the digest, and by the run read back."""
    monkeypatch.setattr(trainer, "train", real_train)
    names = [
        path.relative_to(finished.files.out).as_posix()
        for folder in ("logs", "manifests")
        for path in sorted((finished.files.out / folder).iterdir())
    ]

    @examples(0.1)
    @given(name=st.sampled_from(names), more=st.data())
    def each(name, more):
        furnish(place)
        shutil.copytree(finished.files.out, place / "run")
        path = place / "run" / name
        kinds = [changed_bytes(path.read_bytes())]
        if name.endswith(".json"):
            kinds.append(json_file(read(path)))
        path.write_bytes(more.draw(st.one_of(kinds)))
        assert_handled("reproducibility", ["--digest", "run"], counted, watched=place)
        read_back(place / "run", path)

    def read_back(out, path):
        from small_runs import FLAGS as RUN
        from small_runs import command_line

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "begin", accept)  # resuming is for test_damage.py
            assert_handled("train", command_line(**{**RUN, "out": out}), counted)

    each()


real_train = trainer.train


def test_ladder_records(place, counted, whole):
    record = read(whole.out / "ladder.json")

    @examples(0.08)
    @given(data=json_file(record))
    def each(data):
        furnish(place)
        (place / "out").mkdir()
        (place / "out" / "ladder.json").write_bytes(data)
        words = ["--protocol", str(whole.protocol), "--out", "out"]
        assert_handled("ladder", words, counted)
        assert_handled("reproducibility", ["--digest", "out"], counted)

    each()
