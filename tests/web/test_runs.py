"""The table of runs: what people do with it."""

import json

import numpy
from devices import until


def names(page) -> list[str]:
    return page.locator(".grid-row .name a").all_inner_texts()


def values(page, column: str) -> list[float]:
    """The numbers that a column shows, from the top."""
    headings = page.locator(".grid-heading .grid-sort").all_inner_texts()
    at = next(at for at, text in enumerate(headings) if text.strip("↑↓ \n") == column)
    cells = page.locator(".grid-row").all()[:20]
    return [float(cell.locator(".grid-cell").nth(at).inner_text()) for cell in cells]


def shows(page, count: str) -> None:
    page.wait_for_function("text => document.querySelector('.summary')?.innerText.startsWith(text)", arg=count)


def test_a_run_appears_while_the_page_is_open(browser, logged):
    logged.experiment("live")
    page = browser.open(logged.hash("live"))
    page.wait_for_selector(".empty")
    run = logged.run("live", "just born", lr=0.5)
    page.wait_for_selector(".grid-row .name a >> text=just born")
    logged.client.log_metric(run, "loss", 0.125)
    page.wait_for_selector(".grid-row .status.running")
    logged.client.set_terminated(run)
    page.wait_for_selector(".grid-row .status.finished")


def test_a_column_sorts_both_ways_and_the_back_button_undoes_it(browser, logged):
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status")
    before = names(page)
    heading = page.get_by_role("columnheader", name="loss").locator(".grid-sort")
    heading.click()
    page.wait_for_selector("[aria-sort=descending]")
    until(lambda: names(page) != before, "the rows are sorted")
    down = [value for value in values(page, "loss")]
    assert down == sorted(down, reverse=True)
    heading.click()
    page.wait_for_selector("[aria-sort=ascending]")
    until(lambda: values(page, "loss")[0] < down[0], "the rows are sorted the other way")
    assert "sort=metrics.loss" in page.url
    page.go_back()
    page.go_back()
    until(lambda: names(page) == before, "the rows are as they were")


def test_the_filter_speaks_the_search_language(browser, logged):
    page = browser.open(logged.hash("fraud"))
    shows(page, "31 runs")
    filter_line = page.get_by_label("Filter runs")
    filter_line.fill("params.model = 'vit' and metrics.accuracy > 0.5")
    filter_line.press("Enter")
    found = logged.client.search_runs([logged.experiments["fraud"]], "params.model = 'vit' and metrics.accuracy > 0.5")
    shows(page, f"{len(found)} run")
    # The link shows the same to whoever opens it.
    page.reload()
    shows(page, f"{len(found)} run")
    page.get_by_label("Clear the filter").click()
    shows(page, "31 runs")


def test_a_filter_that_makes_no_sense_says_why(browser, logged):
    browser.may_be_refused = True
    page = browser.open(logged.hash("fraud"))
    page.get_by_label("Filter runs").fill("metrics.loss <")
    page.get_by_label("Filter runs").press("Enter")
    page.wait_for_selector(".filter-error")
    assert page.locator(".grid-row").count() > 0 or page.locator(".loading").count() == 0


def test_a_click_in_a_cell_filters_by_it(browser, logged):
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status.failed")
    page.locator(".grid-row .status.failed").first.hover()
    page.locator(".grid-cell:hover .grid-filter").click()
    shows(page, "3 runs")
    assert page.get_by_label("Filter runs").input_value() == "attributes.status = 'FAILED'"


def test_columns_are_chosen_and_are_in_the_address(browser, logged):
    page = browser.open(logged.hash("fraud"))
    page.wait_for_selector(".grid-row .status")
    page.get_by_role("button", name="Columns").click()
    page.get_by_placeholder("Find a column").fill("team")
    page.get_by_role("dialog").get_by_label("team").check()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("columnheader", name="team").wait_for()
    assert "col=tags.team" in page.url


def test_runs_are_chosen_tagged_deleted_and_come_back(browser, logged):
    logged.experiment("bin")
    runs = [logged.run("bin", f"old {at}") for at in range(3)]
    page = browser.open(logged.hash("bin"))
    page.get_by_label("Choose old 0").check()
    page.get_by_label("Choose old 2").check()
    page.get_by_role("toolbar").get_by_role("button", name="Tag").click()
    page.get_by_label("Tag, as name = value").fill("keep = no <b>")
    page.get_by_role("button", name="Set tag").click()
    until(lambda: logged.client.get_run(runs[2]).data.tags.get("keep") == "no <b>", "the tag is set")
    assert "keep" not in logged.client.get_run(runs[1]).data.tags
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    shows(page, "1 run")
    assert logged.client.get_run(runs[0]).info.lifecycle_stage == "deleted"
    page.get_by_role("button", name="Undo").click()
    shows(page, "3 runs")
    assert logged.client.get_run(runs[0]).info.lifecycle_stage == "active"


def test_chosen_runs_are_compared(browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?sort=metrics.loss")
    page.wait_for_selector(".grid-row .status")
    for name in ["trial 0", "trial 1"]:
        page.get_by_label(f"Choose {name}", exact=True).check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_selector(".compare-table")
    loss = page.locator("tr", has=page.locator("th bdi[title=loss]"))
    assert loss.locator("td.best").count() == 1 and loss.locator("td.worst").count() == 1
    # What differs comes first, and what does not can be left out.
    same = page.locator(".compare-table tr.same").count()
    assert same > 0
    page.get_by_label("Only what differs").check()
    page.wait_for_function("document.querySelectorAll('.compare-table tr.same').length === 0")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as a page").click()
    saved = download.value.path().read_text()
    assert "trial 0" in saved and "data:image/png" in saved and "<script" not in saved


def test_pictures_stand_beside_one_another(browser, logged):
    logged.experiment("pictures")
    runs = [logged.run("pictures", name) for name in ["left", "right"]]
    for run in runs:
        logged.client.log_image(run, numpy.full((8, 8, 3), 128, dtype=numpy.uint8), "plots/grey.png")
    page = browser.open(f"/compare?run={runs[0]}&run={runs[1]}")
    page.locator(".image-row img").nth(1).wait_for()
    assert page.locator(".image-row h3").inner_text() == "plots/grey.png"
    assert page.evaluate("[...document.querySelectorAll('.image-row img')].every(img => img.naturalWidth === 8)")


def test_what_is_shown_can_be_downloaded(browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?q=params.model+%3D+%27vit%27")
    page.wait_for_selector(".grid-row .status")
    for form in ["CSV", "JSON"]:
        page.get_by_role("button", name="More", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=f"Download as {form}").click()
        text = download.value.path().read_text()
        count = len(json.loads(text)) if form == "JSON" else len(text.splitlines()) - 1
        assert count == len(logged.client.search_runs([logged.experiments["fraud"]], "params.model = 'vit'"))


def test_experiments_are_made_and_renamed(browser, logged):
    page = browser.open("/experiments")
    page.get_by_label("New experiment").click()
    page.get_by_role("textbox", name="Name").fill("made by hand")
    page.get_by_role("button", name="Create").click()
    page.wait_for_selector("h1 >> text=made by hand")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Rename the experiment").click()
    page.get_by_role("textbox", name="Name").fill("renamed")
    page.get_by_role("button", name="Rename").click()
    page.wait_for_selector("h1 >> text=renamed")
    assert logged.client.get_experiment_by_name("renamed") is not None


def test_the_page_says_when_the_daemon_is_gone_and_goes_on_when_it_is_back(devices, open_browser):
    device = devices("fickle").up()
    browser = open_browser(device.url)
    browser.may_be_refused = True
    page = browser.open("/experiments")
    page.wait_for_selector(".empty")
    device.down()
    page.wait_for_selector(".offline")
    device.up()
    page.wait_for_selector(".offline", state="detached")
