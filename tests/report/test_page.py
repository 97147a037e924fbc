"""The page for every kind of record: its figures are the record's, and it stands alone."""

import base64
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made_ladders import KINDS, PLAN, adopted, own, rejected, untouched, with_other_seeds
from hand_made_policies import follower, homing
from test_hostile_text import HOSTILE, hostile_protocol, hostile_record

from pathb_jax.envs.shadow_field import MesaShadowField
from pathb_jax.envs.start_states import start_states
from pathb_jax.errors import InputError
from pathb_jax.evaluation.evaluator import SetResult, evaluate
from pathb_jax.judging.runs import Evaluations
from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report import html, page_data, page_figures, page_files, played_paths
from pathb_jax.report.figures import PANELS
from pathb_jax.report.html import LARGEST
from pathb_jax.report.page import write_page
from pathb_jax.report.page_files import PAGE_NAME, is_own_page
from pathb_jax.report.receipts import receipt_rows
from pathb_jax.report.run_evidence import Evidence
from pathb_jax.runs.output import episode_rows
from pathb_jax.runs.subjects import policy_subject
from pathb_jax.store.measures import EVALUATION_COLUMNS
from pathb_jax.store.record import write_record
from pathb_jax.store.record_schema import BatteryRecord, LadderRecord
from pathb_jax.store.run_files import RunFiles
from pathb_jax.store.run_records import RunRecord
from pathb_jax.store.tables import read_numbers, write_table
from pathb_jax.text import visible

STAND_IN = "window.vegaEmbed = null;"


@pytest.fixture(autouse=True)
def _quick_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the library, whose bundling takes seconds."""
    if "real_library" not in request.fixturenames:
        monkeypatch.setattr(page_files, "can_draw", lambda: True)
        monkeypatch.setattr(html, "_bundle", lambda: STAND_IN)


@pytest.fixture
def real_library() -> Any:
    return pytest.importorskip("vl_convert", reason="the extra `page` is not installed")


class Read(HTMLParser):
    """What a browser finds: elements with their attributes, texts, and the page's data."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()
        self.data = json.loads(self.scripts[0]) if self.scripts else None
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.texts.append(data)


def written(record: LadderRecord, folder: Path) -> Read:
    write_record(folder / "ladder.json", record)
    return Read(write_page(folder / "ladder.json").read_text())


def end_episodes(folder: Path, run: RunRecord) -> None:
    """Write a run's rows: as many successes as its summaries say, which end on the goal."""
    files = RunFiles(folder / run.run_dir, run.slug)
    for place, (start, summary) in enumerate(run.summaries.items()):
        seeds = np.arange(int(start), int(start) + summary.seeds)
        ends = start_states(seeds).goal + np.where(seeds[:, None] % 2, [0.0, 0.0], [0.25, -1.0])
        good = np.arange(summary.seeds) < summary.success_count
        columns = {name: np.full(summary.seeds, 0.5) for name in EVALUATION_COLUMNS}
        columns |= {"seed": seeds, "terminalOutcome": np.where(good, "success", "timeout")}
        columns |= {"terminalX": ends[:, 0], "terminalY": ends[:, 1]}
        write_table(files.own_set(int(start), first=place == 0).rows, columns)


def with_episodes(folder: Path) -> LadderRecord:
    """Three training seeds, of which one has a folder, with rows of its evaluations."""
    record = with_other_seeds(folder)
    for candidate in record.candidates[:2]:
        end_episodes(folder, candidate)
    return record


def play_episodes(folder: Path, run: RunRecord, write: Callable[[Path], Path]) -> list[SetResult]:
    """Write a run's policy, and the rows of what it does on the sets of its summaries."""
    files = RunFiles(folder / run.run_dir, run.slug)
    subject = policy_subject(write(files.policy), "")
    env, starts = MesaShadowField(subject.sensor_tier), [int(start) for start in run.summaries]
    played = evaluate(env, subject.actor, subject.data, env.default_params, starts, 32)
    for place, of_set in enumerate(played):
        rows = files.own_set(of_set.seed_start, first=place == 0).rows
        write_table(rows, episode_rows(of_set))
    return played


def battery_of(run: str, preference: float) -> BatteryRecord:
    told = {"reward": 0.0, "observation": 0.125, "signature-sensor": None, "geometry": 0.5}
    return BatteryRecord(
        run_dir=run,
        seeds=64,
        success_count=48,
        mean_terminal_alignment=0.987,
        old_basin_preference=preference,
        action_response={**told, "basin-position": 0.0},
        label="field-coupled",
    )


def with_policies(folder: Path) -> LadderRecord:
    """As `with_episodes`, with the policies that played, and rows of what they did."""
    record = with_episodes(folder)
    for candidate, write in zip(record.candidates[:2], (follower, homing), strict=True):
        play_episodes(folder, candidate, write)
    return record


@pytest.mark.parametrize("kind", KINDS)
def test_verdict_and_every_receipt_of_the_record(kind: str, tmp_path: Path) -> None:
    build, verdict = KINDS[kind]
    record = build(tmp_path)
    read = written(record, tmp_path)
    assert verdict in read.text
    assert record.standing in read.text
    assert PLAN.sha256 in read.text
    assert all(line in read.text for line in record.deviations)
    for candidate in record.candidates:
        for stage, row in receipt_rows(candidate, None):
            assert stage in read.text
            assert all(cell in read.text for cell in (row.figure, row.value, row.threshold))
            assert row.outcome in read.text
    assert "None" not in read.text
    assert "undefined" not in read.text.lower()


def test_the_table_of_runs_has_the_figures_of_the_record(tmp_path: Path) -> None:
    record = with_other_seeds(tmp_path)
    read = written(record, tmp_path)
    rates = [float(a["data-value"] or "nan") for tag, a in read.elements if "data-value" in a]
    for _, run in record.runs:
        for summary in run.summaries.values():
            assert summary.success_rate in rates
            told = f"{summary.success_rate:.3f} ({summary.success_count} of {summary.seeds})"
            assert told in read.text
    assert [run["name"] for run in read.data["runs"]][:3] == [f"lr1e4, seed {s}" for s in (0, 1, 2)]
    assert sum(tag == "tr" for tag, _ in read.elements) > len(read.data["runs"])


@pytest.mark.usefixtures("real_library")
def test_one_small_file_that_needs_no_network(tmp_path: Path) -> None:
    read = written(with_episodes(tmp_path), tmp_path)
    page = (tmp_path / PAGE_NAME).read_bytes()
    assert len(page) <= LARGEST
    assert is_own_page(page)
    assert [tag for tag, _ in read.elements if tag == "script"] == ["script"] * 3  # none cut short
    assert "vegaEmbed" in read.scripts[1]
    loads = {"src", "href", "srcset", "data", "action", "poster", "background", "xlink:href"}
    found = [value for _, a in read.elements for name, value in a.items() if name in loads]
    assert not [value for value in found if re.match(r"(\w+:)?//", value or "")]
    style = re.search(rb"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    assert not re.search(rb"url\(|@import", style[1])
    (policy,) = [a["content"] for _, a in read.elements if a.get("http-equiv")]
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    assert "unsafe-eval" not in policy


def test_the_charts_are_what_the_library_takes(real_library: Any) -> None:
    specs = page_figures.curve_specs(PLAN, True) | page_figures.curve_specs(None, False)
    for spec in [*specs.values(), page_figures.episodes_spec()]:
        names = [entry["name"] for entry in real_library.vegalite_to_vega(spec)["data"]]
        assert "rows" in names


def test_every_chart_has_its_text(tmp_path: Path) -> None:
    record = with_episodes(tmp_path)
    read = written(record, tmp_path)
    charts = {a["data-chart"]: a for _, a in read.elements if "data-chart" in a}
    assert charts.keys() == {*PANELS, "episodes"}  # without in-run evaluations none of success
    assert all(a["role"] == "img" for a in charts.values())
    for name, chart in charts.items():
        assert chart["aria-label"] == read.data["specs"][name]["description"]
    assert "vc0_25, seed 0 1.420" in charts["entropy"]["aria-label"]
    assert "2.280" in charts["entropy"]["aria-label"]
    assert "7 of 32 from 10000 of lr1e4, seed 0" in charts["episodes"]["aria-label"]


def test_every_control_has_a_name(tmp_path: Path) -> None:
    page = (written(with_policies(tmp_path), tmp_path), (tmp_path / PAGE_NAME).read_text())[1]
    body = page.partition("<main")[2].partition("<script")[0]
    labelled = set(re.findall(r'<label for="([^"]+)"', body))
    outside = re.sub(r"<label\b.*?</label>", "", body, flags=re.DOTALL)
    alone = re.findall(r"<(?:input|select)[^>]*>", outside)
    assert alone
    assert all(re.search(r'id="([^"]+)"', tag)[1] in labelled for tag in alone)


def skeleton(read: Read) -> list[tuple[str, tuple[str, ...]]]:
    """Return elements with their attributes' names: what a text could forge."""
    return [(tag, tuple(attributes)) for tag, attributes in read.elements]


@pytest.mark.parametrize("build", [adopted, rejected, with_other_seeds])
def test_texts_of_others_are_shown_as_text(build: Any, tmp_path: Path) -> None:
    text = " ".join(HOSTILE).replace("\n", " ") + " \"quoted\" 'single' </script><!-- <b>"
    reads = []
    for words, name in ((text, "hostile"), ("word", "tame")):
        record = own(build(tmp_path / name), hostile_protocol(words))
        reads.append(written(hostile_record(record, words), tmp_path / name))
    hostile, tame = reads
    assert skeleton(hostile) == skeleton(tame)
    shown = " ".join(visible(text).split())
    assert shown in hostile.text
    assert "{{ 7 * 7 }}" in hostile.text
    page = (tmp_path / "hostile" / PAGE_NAME).read_text()
    assert "<script>alert" not in page
    assert all(char.isprintable() or char == "\n" for char in page)


def test_names_of_runs_that_are_no_text_of_ours_stay_inside_the_data(tmp_path: Path) -> None:
    record = adopted(tmp_path)
    record.batch[0].label = "</script><script>alert(1)</script>"
    read = written(record, tmp_path)
    assert "</script><script>alert(1)</script>" in [run["name"] for run in read.data["runs"]]
    assert len(read.scripts) == 3


def test_bins_lose_no_row_and_no_spike() -> None:
    rows, rng = 997, np.random.default_rng(0)
    history = {name: rng.normal(size=rows) for name in PANELS}
    history["update"] = np.arange(1, rows + 1)
    history["value_loss"][500] = 1e6
    edges = np.unique(np.linspace(0, rows, 51).round().astype(int))
    found = page_data.binned(history, edges)
    sizes = np.diff(edges)
    for name in PANELS:
        bins = {kind: np.array(values, float) for kind, values in found[name].items()}
        total = history[name].sum()
        assert (bins["mean"] * sizes).sum() == pytest.approx(total, rel=1e-3, abs=1.0)
        assert bins["high"].max() == pytest.approx(history[name].max(), rel=1e-3)
        assert bins["low"].min() == pytest.approx(history[name].min(), rel=1e-3)
        assert (bins["low"] <= bins["high"]).all()


def test_a_run_that_ended_early_has_no_later_bins() -> None:
    history = {name: np.ones(10) for name in PANELS} | {"update": np.arange(1, 11)}
    history["entropy"][9] = np.nan  # as a diverged run's last row
    found = page_data.binned(history, np.array([0, 5, 10, 15]))
    assert found["log_std"]["mean"] == [1, 1, None]
    assert found["entropy"]["mean"] == [1, None, None]


def page_run(history: Any, along: Evaluations, **changes: Any) -> page_data.PageRun:
    evidence = Evidence(history, along, np.zeros(0, bool))
    run = page_data.PageRun("a", "a", "candidate", 0, True, "#000", None, evidence)  # type: ignore[arg-type]
    return run._replace(**changes)


def test_the_judged_rows_are_all_there_and_log_std_is_its_rise() -> None:
    history = {name: np.linspace(0, 1, 300) for name in PANELS} | {"update": np.arange(1, 301)}
    history["log_std"] = -0.5 + np.arange(300) * 0.001
    found = page_data.curves([page_run(history, Evaluations([], []))], 50)["judged"]["0"]
    assert found["update"] == [*range(201, 301)]
    assert found["log_std"][50] == 0
    assert found["log_std"][-1] == pytest.approx(0.049)


def test_many_runs_still_make_a_small_page() -> None:
    rng = np.random.default_rng(1)
    history = {name: rng.normal(size=2500) for name in PANELS} | {"update": np.arange(1, 2501)}
    runs = [page_run(history, Evaluations([], []))] * 300
    curves = len(json.dumps(page_data.curves(runs, 50)))
    # An end is two numbers of at most four characters with separators, and a letter; a point of a
    # path two of two bytes, in base64.
    ends, points = 13 * page_data.MOST_EPISODES, 5.4 * played_paths.MOST_POINTS
    assert curves + ends + points < LARGEST - 1_200_000  # library, rows, receipts


def test_evaluations_on_the_way_have_exact_intervals() -> None:
    run = page_run({}, Evaluations([12, 24], [(3, 32), (20, 32)]))
    rows = page_data.along([page_run({}, Evaluations([], [])), run])
    assert [*rows] == ["1"]
    assert [(row["update"], row["successes"]) for row in rows["1"]] == [(12, 3), (24, 20)]
    low, high = clopper_pearson(20, 32)
    assert (rows["1"][1]["low"], rows["1"][1]["high"]) == pytest.approx((low, high), rel=1e-3)


def test_episodes_start_and_end_where_the_files_say(tmp_path: Path) -> None:
    found = written(with_episodes(tmp_path), tmp_path).data["episodes"]
    states = start_states(np.arange(20000, 20032))
    told = found["sets"]["20000"]
    assert told["goal_x"] == np.rint(100 * states.goal[:, 0]).astype(int).tolist()
    assert told["start_y"] == np.rint(100 * states.start[:, 1]).astype(int).tolist()
    ends = found["ends"]["0"]["20000"]
    gaps = np.array([ends["x"], ends["y"]]) - np.array([told["goal_x"], told["goal_y"]])
    assert (np.abs(gaps[:, 1::2]) <= 1).all()
    assert (np.abs(gaps[:, ::2] - [[25], [-100]]) <= 1).all()
    assert ends["outcome"] == "s" * 9 + "t" * 23


def test_of_very_many_episodes_the_first_seeds_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data, "MOST_EPISODES", 60)
    read = written(with_episodes(tmp_path), tmp_path)
    found = read.data["episodes"]
    assert {len(s["outcome"]) for sets in found["ends"].values() for s in sets.values()} == {10}
    assert found["sets"]["30000"]["seeds"] == [*range(30000, 30010)]
    assert "first 10 of 32 seeds" in read.text


def test_rows_without_positions_or_of_odd_seeds_are_left_out(tmp_path: Path) -> None:
    record = with_episodes(tmp_path)
    first, second = record.candidates[:2]
    rows = RunFiles(tmp_path / first.run_dir, first.slug).own_set(20000, first=False).rows
    write_table(rows, {"seed": [1], "terminalOutcome": ["success"]})
    rows = RunFiles(tmp_path / second.run_dir, second.slug).own_set(20000, first=False).rows
    columns = {"seed": [2**40], "terminalOutcome": ["success"]}
    write_table(rows, columns | {"terminalX": [0.0], "terminalY": [0.0]})
    found = written(record, tmp_path).data["episodes"]
    assert "20000" not in found["ends"]["0"] | found["ends"]["3"]
    assert "10000" in found["ends"]["0"]


def paths_of(found: dict[str, Any], run: str, start: str) -> np.ndarray:
    """Return paths as the page's script unpacks them, `[n, points, 2]`."""
    packed = found["paths"][run][start]
    whole = np.frombuffer(base64.b64decode(packed["xy"]), "<i2")
    return whole.reshape(-1, packed["points"], 2)


def test_paths_lead_from_the_start_to_where_the_files_say(tmp_path: Path) -> None:
    read = written(with_policies(tmp_path), tmp_path)
    found = read.data["episodes"]
    assert "all 192 end as the files say" in read.text  # two runs, three sets, 32 seeds
    assert found["strays"] == 0
    for run in ("0", "3"):
        for start, ends in found["ends"][run].items():
            paths = paths_of(found, run, start)
            told, packed = found["sets"][start], found["paths"][run][start]
            assert paths[:, 0].T.tolist() == [told["start_x"], told["start_y"]]
            assert paths[:, -1].T.tolist() == [ends["x"], ends["y"]]
            assert (packed["horizon"], packed["every"], packed["points"]) == (200, 1, 201)
            went = np.abs(np.diff(paths, axis=1)).sum(axis=(0, 2))
            assert np.flatnonzero(went).max() < max(packed["steps"])
            outcome = np.array([*ends["outcome"]])
            assert (np.array(packed["steps"])[outcome == "t"] == 200).all()
    assert "s" in found["ends"]["0"]["10000"]["outcome"]  # a policy that gets there
    assert min(found["paths"]["0"]["10000"]["steps"]) < 200


def test_a_path_that_does_not_end_as_the_files_say_is_not_shown(tmp_path: Path) -> None:
    record = with_policies(tmp_path)
    first = record.candidates[0]
    rows = RunFiles(tmp_path / first.run_dir, first.slug).own_set(10000, first=True).rows
    columns = ("seed", "terminalX", "terminalY")
    table = read_numbers(rows, columns, whole=("seed",))
    table["terminalX"][4] += 0.5
    table["terminalOutcome"][7] = {"success": "timeout"}.get(table["terminalOutcome"][7], "success")
    write_table(rows, {name: table[name] for name in (*columns, "terminalOutcome")})
    read = written(record, tmp_path)
    steps = read.data["episodes"]["paths"]["0"]["10000"]["steps"]
    assert [seed for seed, step in enumerate(steps) if step == 0] == [4, 7]
    assert "2 of 192 do not end as the files say" in read.text


def test_many_paths_are_thinned_and_of_very_many_the_first_seeds_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = with_policies(tmp_path)
    monkeypatch.setattr(played_paths, "MOST_POINTS", 6 * 32 * 101)
    packed = written(record, tmp_path).data["episodes"]["paths"]["3"]["20000"]
    assert (packed["every"], packed["points"], len(packed["steps"])) == (2, 101, 32)
    monkeypatch.setattr(played_paths, "MOST_POINTS", 6 * 8 * 51)
    packed = written(record, tmp_path).data["episodes"]["paths"]["3"]["20000"]
    assert (packed["every"], packed["points"], len(packed["steps"])) == (4, 51, 8)


def test_a_policy_that_cannot_be_played_has_no_paths(tmp_path: Path) -> None:
    record = with_policies(tmp_path)
    first, second = (RunFiles(tmp_path / c.run_dir, c.slug).policy for c in record.candidates[:2])
    first.write_text("{}")
    told = json.loads(second.read_text())
    told["metadata"]["sensor_tier"] = "privileged-field"  # which shows more numbers
    second.write_text(json.dumps(told))
    read = written(record, tmp_path)
    assert read.data["episodes"]["paths"] == {}
    assert "there is no policy to play" in read.text


def test_the_battery_of_the_record_is_told(tmp_path: Path) -> None:
    record = adopted(tmp_path)
    record.batteries = [battery_of("lr1e4", -0.321)]
    read = written(record, tmp_path)
    for cell in ("48 of 64", "0.987", "-0.321", "0.125", "field-coupled"):
        assert cell in read.text
    assert ("a", {"href": "#battery"}) in read.elements


def test_nothing_has_run_yet(tmp_path: Path) -> None:
    read = written(untouched(tmp_path), tmp_path)
    assert "No run has a history yet." in read.text
    assert not [a for _, a in read.elements if "data-chart" in a]


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    written(with_episodes(tmp_path), tmp_path)
    before = (tmp_path / PAGE_NAME).read_bytes()
    write_page(tmp_path / "ladder.json")
    assert (tmp_path / PAGE_NAME).read_bytes() == before


def test_without_the_library_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_files, "can_draw", lambda: False)
    write_record(tmp_path / "ladder.json", adopted(tmp_path))
    with pytest.raises(InputError, match=r"install pathb-jax\[page\]"):
        write_page(tmp_path / "ladder.json")
    assert not (tmp_path / PAGE_NAME).exists()
