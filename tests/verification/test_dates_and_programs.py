"""Dates, hosts and program digests: compared where they are recorded, "not recorded" where not."""

import json

import pytest

from pathb_jax.verification.verify import verify

OPENED, LATER, EARLIER = "2026-01-02T03:04:05Z", "2026-01-02T04:00:00Z", "2025-12-31T23:00:00Z"
ADOPTED = "mixed_0_90_pathb_vc0_25"


def entries(record):
    candidates = record["candidates"]
    return [*candidates, *(s for c in candidates for s in c["other_seeds"]), *record["batch"]]


class Folder:
    """A ladder whose record and manifests tell when and by what it was trained."""

    def __init__(self, path):
        self.path = path
        self.record = json.loads((path / "ladder.json").read_text())
        self.manifests = {}
        for entry in entries(self.record):
            file = path / entry["run_dir"] / "manifests" / f"{entry['slug']}.json"
            manifest = self.manifests[entry["run_dir"]] = json.loads(file.read_text())
            manifest |= {"started": OPENED, "ended": LATER, "host": "here"}
            manifest["source"] |= {"program": "a" * 64, "commit": "c", "dirty": False}
            entry["trained"] = {
                **{name: manifest[name] for name in ("started", "ended", "host")},
                **{name: manifest["source"][name] for name in ("commit", "dirty", "program")},
                "environment_changes": [],
                "before_ladder": False,
            }
        self.record |= {"started": OPENED, "ended": LATER, "host": "here"}
        self.record["environment"]["source"]["program"] = "a" * 64

    def entry(self, run_dir):
        return next(e for e in entries(self.record) if e["run_dir"] == run_dir)

    def verify(self):
        (self.path / "ladder.json").write_text(json.dumps(self.record))
        for entry in entries(self.record):
            file = self.path / entry["run_dir"] / "manifests" / f"{entry['slug']}.json"
            file.write_text(json.dumps(self.manifests[entry["run_dir"]]))
        return verify(self.path, replay=False)


@pytest.fixture
def folder(copy):
    return Folder(copy)


def test_all_is_told_and_holds(folder):
    found = folder.verify()
    assert found.problems == []
    assert found.said["registered before the first run"] == "yes"
    assert found.said["program"] == "one"


def test_what_is_not_recorded_is_called_so(folder):
    del folder.record["started"], folder.record["ended"]
    for entry in entries(folder.record):
        del entry["trained"]
    for manifest in folder.manifests.values():
        del manifest["source"]["program"], manifest["started"]
    found = folder.verify()
    assert found.problems == []
    assert found.said["registered before the first run"] == "not recorded"
    assert found.said["program"] == "not recorded"


def test_a_run_that_began_before_has_to_be_listed(folder):
    folder.manifests[ADOPTED]["started"] = EARLIER
    folder.entry(ADOPTED)["trained"]["started"] = EARLIER
    (problem,) = folder.verify().problems
    assert "trained.before_ladder: False is told, True is found" in problem
    folder.entry(ADOPTED)["trained"]["before_ladder"] = True
    found = folder.verify()
    assert found.problems == []
    assert found.said["registered before the first run"] == "no, 1 of 5 runs began before"


def test_a_run_that_did_not_is_not_listed(folder):
    folder.entry(ADOPTED)["trained"]["before_ladder"] = True
    assert len(folder.verify().problems) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("started", EARLIER),
        ("ended", OPENED),
        ("host", "there"),
        ("commit", "d"),
        ("dirty", True),
        ("program", "b" * 64),
    ],
)
def test_what_trained_a_run_is_what_its_manifest_says(folder, name, value):
    folder.entry(ADOPTED)["trained"][name] = value
    (problem,) = folder.verify().problems
    assert f"trained.{name}: {value!r} is told" in problem


def test_another_program_has_to_be_listed(folder):
    entry = folder.entry(ADOPTED)
    folder.manifests[ADOPTED]["source"]["program"] = entry["trained"]["program"] = "b" * 64
    (problem,) = folder.verify().problems
    assert "source.program" in problem
    entry["trained"]["environment_changes"] = ["source.program: a -> b"]
    found = folder.verify()
    assert found.problems == []
    assert found.said["program"] == "2 different ones"


def test_a_resumption_elsewhere_is_a_departure(folder):
    changes = [{"resumed_after_update": 10, "changes": ["backend.cores: 2 -> 4"]}]
    folder.manifests[ADOPTED]["environment_changes"] = changes
    (problem,) = folder.verify().problems
    assert "was resumed in another environment" in problem


def test_another_device_is_found(folder):
    folder.manifests[ADOPTED]["backend"]["device_kind"] = "another"
    (problem,) = folder.verify().problems
    assert "backend.device_kind: 'another' is told" in problem


def test_an_end_before_the_beginning(folder):
    folder.record["ended"] = EARLIER
    (problem,) = folder.verify().problems
    assert problem == "ladder.json: ended: it is before the start"
