"""The page in a real browser: Debian's Chromium without a window, driven by playwright."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hand_made_ladders import finish, with_other_seeds
from hand_made_policies import follower
from small_records import new_summary
from test_page import battery_of, end_episodes, play_episodes
from test_study_html import write_study

from pathb_jax.ladder.statistics import clopper_pearson
from pathb_jax.report.page import write_page
from pathb_jax.report.page_files import can_draw
from pathb_jax.store.artifacts import write_evaluations
from pathb_jax.store.measures import EVALUATIONS_COLUMNS
from pathb_jax.store.record import write_record
from pathb_jax.store.run_files import RunFiles

pytestmark = pytest.mark.browser

WIDTHS = (360, 800, 1400)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder's page: two candidates with three training seeds each, and a batch."""
    if not can_draw():
        pytest.skip("the extra `page` is not installed")
    folder = tmp_path_factory.mktemp("ladder")
    record = with_other_seeds(folder)
    for place, candidate in enumerate(record.candidates[:2]):
        for other in candidate.other_seeds:
            stages, summaries = other.stages, other.summaries
            finish(other, (7, 9, 8), 1.5 + 0.1 * place, folder)  # type: ignore[arg-type]
            other.status, other.stages, other.summaries = "finished", stages, summaries
        for run in (candidate, *candidate.other_seeds):
            end_episodes(folder, run)
        columns = {name: np.full(3, 0.5) for name in EVALUATIONS_COLUMNS}
        columns |= {"update": np.array([20, 40, 60]), "env_steps": np.array([1, 2, 3])}
        columns |= {"seed_start": np.full(3, 10000), "seeds": np.full(3, 32)}
        write_evaluations(RunFiles(folder / candidate.run_dir, candidate.slug).evaluations, columns)
    tagged = "<script>window.harmed = true</script>{{ 7 * 7 }}"
    record.deviations, record.standing = [tagged], "exploratory"
    record.canonical = False
    record.batch[1].label = tagged
    record.batch[1].summaries = {"10000": new_summary(1, clopper_pearson(1, 32))}
    record.batch[0].summaries = {"10000": new_summary(32, clopper_pearson(32, 32))}
    (folder / record.batch[0].run_dir).mkdir()
    play_episodes(folder, record.batch[0], follower)
    record.batteries = [battery_of(record.batch[0].run_dir, 0.5), battery_of("lr1e4", 1.5)]
    write_record(folder / "ladder.json", record)
    return write_page(folder / "ladder.json")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as started:
        # As root, as in containers, it runs without a sandbox only.
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """The page in a window of its own, with all it said and asked for."""

    def __init__(self, chromium: Any, page: Path, width: int, **how: Any) -> None:
        self.window = chromium.new_context(viewport={"width": width, "height": 800}, **how)
        self.page = self.window.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(page.as_uri())
        self.page.wait_for_selector("html[data-drawn=yes]", timeout=120_000)

    def lines(self, chart: str) -> int:
        """Count the lines that a chart draws, one for each run."""
        found: int = self.page.evaluate(
            "chart => new Set(views[chart].data('rows').map(row => row.run)).size", chart
        )
        drawn = self.page.locator(f"[data-chart={chart}] .mark-line.role-mark path").count()
        assert drawn >= found
        return found

    def wait_until(self, condition: str) -> None:
        """Wait for what the page does by itself (its policy forbids playwright's own way)."""
        for _ in range(2_400):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{condition} does not come true")

    def tab_to(self, selector: str) -> None:
        """Press the tabulator until an element has the focus."""
        for _ in range(120):
            self.page.keyboard.press("Tab")
            if self.page.evaluate("s => document.activeElement.matches(s)", selector):
                return
        raise AssertionError(f"{selector} is not reached by keyboard")


@pytest.fixture
def opened(chromium: Any, ladder: Path) -> Iterator[Opened]:
    opened = Opened(chromium, ladder, 1400)
    yield opened
    opened.window.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_quiet_and_fits(chromium: Any, ladder: Path, width: int, scheme: str) -> None:
    opened = Opened(chromium, ladder, width, color_scheme=scheme)
    assert opened.said == []
    assert opened.asked == [ladder.as_uri()]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    assert opened.page.evaluate("window.harmed") is None
    assert opened.page.evaluate("document.documentElement.dataset.theme") == scheme
    for name in ("success", "entropy", "log_std", "value_loss", "mean_reward", "episodes"):
        chart = opened.page.locator(f"[data-chart={name}]")
        assert chart.get_attribute("aria-label")
        box = chart.locator("svg").first.bounding_box()
        assert box
        assert box["width"] > 200
        assert box["x"] + box["width"] <= width
    opened.window.close()


def test_candidates_and_seeds_are_chosen(opened: Opened) -> None:
    assert opened.lines("entropy") == 2  # the first seed of both candidates
    opened.page.get_by_role("checkbox", name="1", exact=True).check()
    assert opened.lines("entropy") == 4
    opened.page.get_by_role("checkbox", name="vc0_25").uncheck()
    assert opened.lines("entropy") == 2
    rows = opened.page.locator("#reading tbody tr")
    assert rows.all_inner_texts()[1].startswith("lr1e4, seed 1")
    opened.page.get_by_role("checkbox", name="lr1e4").uncheck()
    assert opened.lines("entropy") == 0
    assert opened.said == []


def test_the_judged_rows_are_shown(opened: Opened) -> None:
    opened.page.get_by_label("the 50 judged").check()
    updates = opened.page.evaluate("views.log_std.data('rows').map(row => row.update)")
    assert (min(updates), max(updates), len(updates)) == (1, 60, 120)
    assert opened.page.locator("#rise").is_visible()
    assert opened.said == []


def test_a_chart_tells_its_figures_where_one_points(opened: Opened) -> None:
    chart = opened.page.locator("[data-chart=entropy]")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    assert box
    for step in (0, 4):  # a pointer that moves
        opened.page.mouse.move(box["x"] + box["width"] / 2 + step, box["y"] + 100)
    tip = opened.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "lr1e4, seed 0" in tip.inner_text()
    assert "vc0_25, seed 0" in tip.inner_text()


def test_episodes_are_filtered_by_outcome(opened: Opened) -> None:
    page = opened.page
    ends = "views.episodes.data('rows').map(row => row.outcome)"
    assert page.evaluate(ends) == ["success"] * 7 + ["time-out"] * 25
    page.get_by_label("Outcome").select_option("success")
    assert page.evaluate(ends) == ["success"] * 7
    assert "7 of 32 episodes shown" in page.locator("#episode-count").inner_text()
    page.get_by_label("Run", exact=True).select_option("vc0_25, seed 0")
    page.get_by_label("Seeds from").select_option("30000")
    assert page.evaluate(ends) == ["success"] * 20
    page.get_by_label("seen from the goal").check()
    gaps = page.evaluate("views.episodes.data('rows').map(row => [row.goal_x, row.goal_y])")
    assert {tuple(gap) for gap in gaps} == {(0, 0)}
    assert opened.said == []


def test_an_episode_is_played(opened: Opened) -> None:
    page = opened.page
    assert page.locator("#play").is_disabled()  # there is no policy of the first run
    label = page.locator("#episode-run option").nth(6).inner_text()
    page.get_by_label("Run", exact=True).select_option(label)
    assert page.evaluate("new Set(views.episodes.data('paths').map(row => row.seed)).size") == 32
    page.get_by_label("Episode", exact=True).select_option("10003")
    last = "views.episodes.data('paths').at(-1)"
    whole = page.evaluate("views.episodes.data('paths').length")
    end = page.evaluate("views.episodes.data('rows').map(row => [row.end_x, row.end_y])")
    opened.tab_to("#play")
    page.keyboard.press("Enter")
    opened.wait_until("Number(document.getElementById('step').value) > 20")
    page.keyboard.press("Enter")  # it pauses
    step = int(page.locator("#step").input_value())
    assert page.locator("#play").inner_text() == "Play"
    assert page.evaluate(f"{last}.order") == step < whole - 1
    assert page.evaluate(f"{last}.outcome") == "under way"
    opened.tab_to("#step")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(f"{last}.order") == step + 1
    page.keyboard.press("End")
    assert page.evaluate("views.episodes.data('paths').length") == whole
    assert page.evaluate(f"{last}.outcome") == "success"
    assert page.evaluate(f"[[{last}.path_x, {last}.path_y]]") == end
    page.keyboard.press("Home")
    page.locator("#play").click()
    opened.wait_until("document.getElementById('play').textContent === 'Play'")  # at the end
    assert page.locator("#step-shown").inner_text() == "end"
    assert opened.said == []


def test_the_battery_is_sorted(opened: Opened) -> None:
    page = opened.page
    page.locator("#battery-table thead button", has_text="basin preference").click()
    cells = page.locator("#battery-table tbody td:nth-child(4)").all_inner_texts()
    assert cells == ["0.500", "1.500"]


def test_runs_are_sorted_and_found_by_keyboard(opened: Opened) -> None:
    page = opened.page
    column = page.locator("#run-table tbody tr:not([hidden]) td:nth-child(5)")

    def rates() -> list[float]:
        cells = column.evaluate_all("cells => cells.map(cell => cell.dataset.value)")
        return [float(cell) for cell in cells if cell]

    heading = page.locator("#run-table thead th", has_text="success from 10000")
    opened.tab_to("#run-table thead th:nth-child(5) button")
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert len(rates()) == 8
    assert rates() == sorted(rates())
    page.keyboard.press("Space")
    assert heading.get_attribute("aria-sort") == "descending"
    assert rates() == sorted(rates(), reverse=True)
    assert column.last.get_attribute("data-value") == ""  # runs without a figure stay last
    page.get_by_role("searchbox").fill("lr1e4")
    assert page.locator("#run-table tbody tr:not([hidden])").count() == 3


def test_everything_else_is_reached_by_keyboard(opened: Opened) -> None:
    page = opened.page
    opened.tab_to(".skip")
    opened.tab_to("#theme")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    opened.tab_to("details summary")
    details = page.locator("details").first
    was_open = details.get_attribute("open")
    page.keyboard.press("Enter")
    assert details.get_attribute("open") != was_open
    opened.tab_to("input[name=group]")
    page.keyboard.press("Space")
    assert opened.lines("entropy") == 1
    opened.tab_to("#at")
    before = page.locator("#reading").inner_text()
    page.keyboard.press("Home")
    assert page.locator("#at-update").inner_text() == "1"
    assert page.locator("#reading").inner_text() != before
    opened.tab_to("#episode-outcome")
    page.keyboard.press("ArrowDown")
    assert "7 of 32" in page.locator("#episode-count").inner_text()
    assert opened.said == []


def test_the_theme_is_kept(chromium: Any, ladder: Path) -> None:
    opened = Opened(chromium, ladder, 800, color_scheme="light")
    page = opened.page

    def paper() -> str:
        found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return found

    light = paper()
    page.get_by_role("button", name="Dark").click()
    assert paper() != light
    page.reload()
    page.wait_for_selector("html[data-drawn=yes]")
    assert paper() != light
    opened.window.close()


@pytest.fixture(scope="module", params=["envelope", "anchors"])
def study(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's page, of the repository's own runs."""
    if not can_draw():
        pytest.skip("the extra `page` is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    return write_study(request.param, folder)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_study_is_quiet_and_fits(chromium: Any, study: Path, width: int) -> None:
    opened = Opened(chromium, study, width, color_scheme="dark")
    assert opened.said == []
    assert opened.asked == [study.as_uri()]
    assert opened.page.evaluate("document.documentElement.scrollWidth") == width
    for chart in opened.page.locator("[data-chart]").all():
        assert chart.get_attribute("aria-label")
        assert chart.locator(".mark-symbol path").count() > 10
    opened.window.close()


def test_a_study_is_sorted_and_searched_by_keyboard(chromium: Any, study: Path) -> None:
    opened = Opened(chromium, study, 1400)
    page = opened.page
    column = page.locator("#rows-2 tbody tr:not([hidden]) td:nth-child(3)")
    opened.tab_to("#rows-2 thead th:nth-child(3) button")
    page.keyboard.press("Enter")
    figures = [float(cell) for cell in column.evaluate_all("c => c.map(x => x.dataset.value)")]
    assert figures == sorted(figures)
    assert len(set(figures)) > 2
    page.get_by_role("searchbox").nth(1).fill("seed 1")
    shown = page.locator("#rows-2 tbody tr:not([hidden]) th").all_inner_texts()
    assert shown
    assert all("seed 1" in name for name in shown)
    opened.window.close()
