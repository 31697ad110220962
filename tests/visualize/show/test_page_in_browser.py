"""The page in a real Chromium: sorted, filtered, read by keyboard, pointer and screen reader, on a phone and on paper.

After each test no script has failed, the console is empty, and no request has left the page.
"""

from __future__ import annotations

import functools
import shutil

import pytest

from tests.conftest import ROOT
from tests.support.opened import Opened
from tests.support.thinned import thinned
from tests.visualize.conftest import Folder, cell, matrix_in
from tests.visualize.show.test_page import page_of

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs pip install axe-playwright-python")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")

DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


written = functools.cache(page_of)
"""The page of a folder, which several tests open."""


@pytest.fixture
def opened(chromium, tmp_path):
    """Open the page of a folder of results; check at the end what it said and asked for."""
    pages = Opened(chromium, tmp_path)
    yield lambda path, **options: pages.open(written(path), **options)
    pages.close()
    pages.check()


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory):
    """Sixteen rows: four recipes at four batch sizes, one of them without a measurement."""
    return matrix_in(Folder(tmp_path_factory.mktemp("sixteen")))(
        recipes=("fp32", "fp16", "bf16", "bf16_amp"),
        batch_sizes=(8, 16, 64, 128),
        seeds=(0, 1),
        ends={"fp16": "crashed"},
        epochs=6,
    )


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """More rows than are drawn at once."""
    write = matrix_in(Folder(tmp_path_factory.mktemp("long")))
    return write(recipes=("fp32", "bf16"), batch_sizes=range(1, 53), seeds=(0,), epochs=0)


@pytest.fixture(scope="module")
def window(chromium, sixteen, tmp_path_factory):
    """Return the page of sixteen rows, opened once, and what watches it."""
    pages = Opened(chromium, tmp_path_factory.mktemp("window"))
    yield pages, pages.open(written(sixteen), permissions=["clipboard-read", "clipboard-write"])
    pages.close()


@pytest.fixture
def page(window):
    """Return the page of sixteen rows as it is when it is opened."""
    pages, page = window
    page.reload()
    yield page
    pages.check()


def column(page, head, table="#results"):
    """Return the words in a column of a table, from the top down."""
    heads = [text.strip() for text in page.locator(f"{table} thead th").all_inner_texts()]
    return page.locator(f"{table} tbody tr > :nth-child({heads.index(head) + 1})").all_inner_texts()


def status(page):
    return page.locator("#results .count").inner_text()


def test_a_click_sorts_by_size_with_missing_values_last_in_both_directions(page):
    button = page.get_by_role("button", name="images/s")
    for reverse in (False, True):
        button.click()
        speeds = [text.split(" ")[0].replace(",", "") for text in column(page, "images/s")]
        assert speeds[-4:] == ["crashed"] * 4
        assert speeds[:12] == sorted(speeds[:12], key=float, reverse=reverse)
        wanted = "descending" if reverse else "ascending"
        assert page.locator("#results th[aria-sort]:not([aria-sort=none])").get_attribute("aria-sort") == wanted


def test_recipes_are_sorted_in_their_order_and_numbers_not_by_the_alphabet(page):
    page.locator("#results").get_by_role("button", name="batch").click()
    assert column(page, "batch") == [b for b in ("8", "16", "64", "128") for _ in range(4)]
    page.locator("#results").get_by_role("button", name="precision").click()
    assert column(page, "precision") == [r for r in ("fp32", "fp16", "bf16", "bf16_amp") for _ in range(4)]


@pytest.mark.parametrize(
    ("typed", "batches"),
    [
        ("8", {"8"}),
        (">=64", {"64", "128"}),
        ("> 8 <128", {"16", "64"}),
        ("16..64", {"16", "64"}),
        ("!=8", {"16", "64", "128"}),
    ],
)
def test_a_column_of_numbers_is_filtered_by_comparison_with_that_column_alone(typed, batches, page):
    page.get_by_label("Filter Results by batch").fill(typed)
    assert set(column(page, "batch")) == batches
    assert status(page) == f"{4 * len(batches)} of 16 rows"


def test_filters_add_up_and_are_cleared_together(page):
    page.get_by_label("Filter Results by batch").fill(">=64")
    page.get_by_label("Filter Results by precision").select_option("bf16")
    assert status(page) == "2 of 16 rows"
    assert set(column(page, "precision")) == {"bf16"}
    page.locator("#results").get_by_role("button", name="Clear filters").click()
    assert status(page) == "16 rows"


def test_what_is_no_condition_is_said_and_filters_nothing(page):
    field = page.get_by_label("Filter Results by batch")
    field.fill("large")
    assert field.get_attribute("aria-invalid") == "true"
    assert "write a number" in status(page)
    assert len(column(page, "batch")) == 16
    field.fill("")
    assert field.get_attribute("aria-invalid") is None


def test_the_count_of_rows_is_announced(page):
    assert page.locator("#results .count").get_attribute("role") == "status"


def test_everything_of_the_table_is_done_by_keyboard(page):
    page.locator("#results").get_by_role("button", name="batch").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert column(page, "batch")[0] == "128"
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Filter Results by batch":
            break
    page.keyboard.type("64")
    assert status(page) == "4 of 16 rows"


def test_a_long_table_is_drawn_a_part_at_a_time_and_filtered_as_a_whole(opened, long):
    page = opened(long)
    assert status(page) == "104 rows, the first 100 are shown"
    assert len(column(page, "batch")) == 100
    page.get_by_label("Filter Results by batch").fill("52")
    assert column(page, "batch") == ["52", "52"]
    page.get_by_label("Filter Results by batch").fill("")
    page.get_by_role("button", name="Show 4 more rows").click()
    assert len(column(page, "batch")) == 104
    assert status(page) == "104 rows"


def test_the_head_of_the_table_stays_in_sight(opened, long):
    page = opened(long)
    scroll = page.locator("#results .scroll")
    scroll.evaluate("one => one.scrollTop = one.scrollHeight")
    top, head = scroll.bounding_box()["y"], page.locator("#results thead").bounding_box()["y"]
    assert abs(head - top) <= 2


def test_the_command_of_a_row_is_copied(page):
    page.locator("#results tbody .copy").first.click()
    page.locator("#results .command code").wait_for()
    shown = page.locator("#results .command").inner_text()
    assert shown == "Copied: python bench/run_matrix.py experiments/x.toml"
    assert page.evaluate("navigator.clipboard.readText()") == "python bench/run_matrix.py experiments/x.toml"


def test_recipes_of_the_curves_are_switched_off_and_on(page):
    assert page.locator("#paper .curve").count() == 3
    page.locator("#recipes").get_by_label("bf16_amp").uncheck()
    assert page.locator("#paper .curve").count() == 2
    assert page.locator("#values tbody th").all_inner_texts() == ["fp32", "bf16"]
    page.locator("#recipes").get_by_label("bf16_amp").check()
    assert page.locator("#paper .curve").count() == 3
    for name in ("fp32", "bf16", "bf16_amp"):
        page.locator("#recipes").get_by_label(name, exact=True).uncheck()
    assert "No recipe" in page.locator("#paper").inner_text()


def test_pointer_and_slider_show_the_values_of_an_epoch(page):
    slider = page.get_by_role("slider", name="Epoch")
    assert slider.get_attribute("aria-valuetext").startswith("epoch 6: fp32 9")
    box = page.locator("#paper svg").bounding_box()
    page.locator("#paper svg").hover(position={"x": 56, "y": box["height"] / 2})
    assert slider.get_attribute("aria-valuetext").startswith("epoch 1: ")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext").startswith("epoch 2: ")
    page.get_by_role("combobox", name="Show").select_option("training loss")
    assert page.locator("#values tbody td").first.inner_text() == "1.000"


@pytest.mark.parametrize(
    ("scheme", "viewport"),
    thinned([("light", DESKTOP), ("light", PHONE), ("dark", DESKTOP), ("dark", PHONE)], kept=2),
)
def test_axe_finds_no_violation(scheme, viewport, opened, sixteen):
    page = opened(sixteen, color_scheme=scheme, viewport=viewport)
    for summary in page.locator("summary").all():
        summary.evaluate("one => one.parentElement.open = true")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("folder_of_results", thinned(["demo", "epyc/throughput"], kept=1))
def test_axe_finds_no_violation_in_the_pages_of_real_results(folder_of_results, opened):
    page = opened(ROOT / "results" / folder_of_results)
    for summary in page.locator("summary").all():
        summary.evaluate("one => one.parentElement.open = true")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_phone_shows_the_page_without_scrolling_sideways_even_with_names_of_300_characters(opened, folder):
    for name in ("x" * 300, "a_name-with/breaks " * 15):
        for recipe in ("fp32", "bf16_amp"):
            folder.add(cell(recipe, model=name, epochs=3), because=name)
    folder.add(cell("fp16", model="x" * 300, epochs=3), "crashed", because="y" * 300)
    page = opened(folder.write(), viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_markup_in_names_is_shown_as_it_is_written(opened, folder):
    evil = "<img src=http://x.invalid/y onerror=alert(1)>"
    for recipe in ("fp32", "bf16"):
        for seed in range(2):
            for model in (evil, "LeNet"):
                folder.add(cell(recipe, seed=seed, model=model, epochs=3))
    page = opened(folder.write())
    assert page.locator("img").count() == 0
    assert evil in column(page, "subject")


def test_on_paper_there_is_the_whole_table_and_nothing_that_needs_a_hand(opened, sixteen):
    page = opened(sixteen)
    page.emulate_media(media="print")
    for hidden in ("nav", ".filters", ".more", ".copy", "#plot"):
        assert not any(one.is_visible() for one in page.locator(hidden).all()), hidden
    styles = page.evaluate("""() => ({
        heads: [...document.querySelectorAll("h2, h3")].map((one) => getComputedStyle(one).breakAfter),
        repeated: getComputedStyle(document.querySelector("#results thead")).display,
        scroll: getComputedStyle(document.querySelector("#results .scroll")).overflow,
    })""")
    assert set(styles["heads"]) == {"avoid"}
    assert (styles["repeated"], styles["scroll"]) == ("table-header-group", "visible")
    assert page.pdf(format="A4").startswith(b"%PDF")


@pytest.mark.parametrize("ends", [{"fp32": "crashed", "bf16_amp": "diverged"}, {"bf16_amp": "excluded"}], ids=str)
def test_a_page_of_failures_is_a_page(ends, opened, matrix):
    page = opened(matrix(ends=ends))
    assert len(column(page, "precision")) == 2


def test_a_page_of_one_cell_is_a_page(opened, matrix):
    page = opened(matrix(recipes=("fp32",), seeds=(0,), epochs=1))
    assert column(page, "precision") == ["fp32"]
