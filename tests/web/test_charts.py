"""Charts, groups and saved views."""

import numpy
from devices import until
from test_runs import shows


def test_a_click_and_drag_zooms_and_asks_for_more(browser, logged):
    logged.experiment("long")
    run = logged.run("long", "many points")
    for at in range(0, 3000, 1000):
        logged.curve(run, "loss", [1 / (1 + step) for step in range(at, at + 1000)], at)
    logged.client.set_terminated(run)
    page = browser.open(f"{logged.hash('long', 'many points')}?tab=charts")
    page.wait_for_selector(".plot canvas")
    assert_zooms(page, "step", 600, 900)
    # A curve of one point each second, however long after the run's start that was.
    with page.expect_response(lambda response: '"relative"' in (response.request.post_data or "")):
        page.get_by_role("button", name="Relative").click()
    # The chart is made anew with the axis, and once more with the curve.
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    curve = assert_zooms(page, "relative", None, None)
    assert 700 < len(curve["times_ms"]) < 810, "all points of a quarter"
    assert max(curve["times_ms"]) - min(curve["times_ms"]) < 810_000


def test_a_chart_of_which_nothing_is_new_is_not_made_again(browser, logged):
    """Whoever drags on it would lose what they drag."""
    page = browser.open(f"{logged.hash('fraud', 'trial 3')}?tab=charts")
    page.wait_for_selector(".plot canvas")
    page.evaluate("document.querySelector('.plot canvas').mark = 1")
    with page.expect_response(lambda response: response.url.endswith("/curves")) as told:
        logged.client.set_tag(logged.runs["trial 4"], "noted", "now")
    told.value.finished()
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    assert page.evaluate("document.querySelector('.plot canvas').mark") == 1


def log_points(page, logged, run: str, first: int, count: int) -> None:
    """Logs more of two metrics, and waits until the charts have been given it."""
    answers = []
    heard = lambda response: response.url.endswith("/curves") and answers.append(response)  # noqa: E731
    page.on("response", heard)
    for key in ["loss", "accuracy"]:
        logged.curve(run, key, [1 / (1 + step) for step in range(first, first + count)], first)
    last = f"{first + count - 1}]"
    until(lambda: (page.wait_for_timeout(10), {r.json()[0]["key"] for r in answers if last in r.text()} == {"loss", "accuracy"})[1], "both are drawn")
    page.remove_listener("response", heard)
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def test_what_is_dragged_over_a_chart_outlasts_what_is_logged_meanwhile(browser, logged):
    logged.experiment("going on")
    run = logged.run("going on", "trains")
    for key in ["loss", "accuracy"]:
        logged.curve(run, key, [1 / (1 + step) for step in range(100)])
    page = browser.open(f"{logged.hash('going on', 'trains')}?tab=charts")
    page.locator(".plot canvas").nth(1).wait_for()
    page.evaluate("for (const canvas of document.querySelectorAll('.plot canvas')) canvas.mark = 1")
    over = page.locator(".u-over").first.bounding_box()
    y = over["y"] + over["height"] / 2
    page.mouse.move(over["x"] + over["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(over["x"] + over["width"] * 0.4, y, steps=4)
    log_points(page, logged, run, 100, 100)
    page.mouse.move(over["x"] + over["width"] * 0.5, y, steps=4)
    with page.expect_response(lambda response: response.url.endswith("/curves") and '"from"' in response.request.post_data) as told:
        page.mouse.up()
    asked = told.value.request.post_data_json
    assert 20 < asked["from"] < 30 and 45 < asked["to"] < 55, "the steps over which it was dragged"
    # Whoever drags over one, zooms all. What came meanwhile is drawn after it.
    out = page.get_by_role("button", name="zoomed: show all")
    until(lambda: out.count() == 2, "both are zoomed")
    out.first.click()
    out.click()
    out.wait_for(state="detached")
    page.mouse.move(over["x"] + over["width"] - 1, y)
    page.get_by_text("step 199").first.wait_for()
    # New points come into the chart that is there: who looks at a place goes on looking at it.
    log_points(page, logged, run, 200, 100)
    page.get_by_text("step 299").first.wait_for()
    assert page.evaluate("[...document.querySelectorAll('.plot canvas')].every((canvas) => canvas.mark === 1)")


def assert_zooms(page, axis: str, least: int | None, most: int | None) -> dict:
    """Zooms into the second quarter of the one chart, and out again. Returns the curve that was asked for."""
    over = page.locator(".u-over").bounding_box()
    y = over["y"] + over["height"] / 2
    with page.expect_response(lambda response: response.url.endswith("/curves") and '"from"' in (response.request.post_data or "")) as told:
        page.mouse.move(over["x"] + over["width"] * 0.25, y)
        page.mouse.down()
        page.mouse.move(over["x"] + over["width"] * 0.5, y, steps=5)
        page.mouse.up()
    query = told.value.request.post_data_json
    assert query["axis"] == axis
    if least is not None:
        assert least < query["from"] < most and 1350 < query["to"] < 1650, query
    (curve,) = told.value.json()
    page.get_by_role("button", name="zoomed: show all").click()
    page.get_by_role("button", name="zoomed: show all").wait_for(state="detached")
    return curve


def test_panels_are_added_and_are_in_the_address(browser, logged, shots):
    page = browser.open(f"{logged.hash('fraud')}?view=charts")
    page.wait_for_selector(".plot canvas")
    shapes = {
        "Scatter: one column by another": "circle.dot",
        "Boxes: a metric by a param": ".box rect",
        "Bars: a metric of each run": ".bar rect",
        "Parallel coordinates": "path.strand",
    }
    for kind, shape in shapes.items():
        page.get_by_role("button", name="Add a panel").click()
        page.get_by_label("What it shows").select_option(label=kind)
        page.get_by_role("button", name="Add", exact=True).click()
        page.locator(shape).first.wait_for()
    address = page.url
    for kind in ["scatter", "box", "bar", "parallel"]:
        assert f"p={kind}" in address
    page.reload()
    page.wait_for_selector("path.strand")
    page.set_viewport_size({"width": 1280, "height": 1700})
    for theme in ["light", "dark"]:
        page.emulate_media(color_scheme=theme)
        page.wait_for_selector(".plot canvas")
        page.screenshot(path=shots / f"panels-{theme}.png")
    assert browser.axe() == []


def test_runs_are_grouped_by_a_param(browser, logged, shots):
    page = browser.open(logged.hash("fraud"))
    page.get_by_label("Group by").select_option("params.model")
    page.wait_for_selector(".groups tbody tr")
    page.screenshot(path=shots / "groups-light.png")
    runs = logged.client.search_runs([logged.experiments["fraud"]], "params.model = 'vit'")
    heads = page.locator(".groups tbody th")
    page.get_by_role("columnheader", name="accuracy").get_by_role("button").click()
    means = {name: numpy.mean([run.data.metrics["accuracy"] for run in logged.client.search_runs([logged.experiments["fraud"]], f"params.model = '{name}'")]) for name in ["vit", "mlp", "resnet"]}
    best_first = sorted(means, key=means.get, reverse=True)
    until(lambda: heads.all_inner_texts() == [*best_first, "none"], "the best group is first")
    page.get_by_role("columnheader", name="accuracy").get_by_role("button").click()
    until(lambda: heads.all_inner_texts() == [*best_first[::-1], "none"], "the worst group is first")
    row = page.locator(".groups tr", has=page.get_by_role("button", name="vit"))
    assert row.locator("td").first.inner_text() == str(len(runs))
    page.get_by_role("button", name="vit").click()
    page.wait_for_function("text => document.querySelector('.summary')?.innerText.startsWith(text)", arg=f"{len(runs)} run")


def test_runs_are_grouped_by_how_they_ended(browser, logged):
    page = browser.open(logged.hash("fraud"))
    page.get_by_label("Group by").select_option("attributes.status")
    row = page.locator(".groups tr", has=page.get_by_role("button", name="FAILED"))
    row.wait_for()
    assert row.locator("td").first.inner_text() == "3"
    page.get_by_role("button", name="Charts").click()
    page.locator(".legend-group", has_text="FAILED").wait_for()
    page.get_by_role("button", name="Table").click()
    page.get_by_role("button", name="FAILED").click()
    shows(page, "3 runs")


def test_grouped_curves_are_bands(browser, logged, shots):
    page = browser.open(f"{logged.hash('fraud')}?view=charts&group=params.model")
    page.wait_for_selector(".plot canvas")
    assert page.locator(".legend-group").count() == 4, "three models, and the run that has none"
    page.wait_for_selector("[aria-label='loss: 3 curves']")
    page.screenshot(path=shots / "bands-light.png")


def test_a_view_is_saved_for_everyone_and_forgotten(browser, open_browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?sort=metrics.loss&q=params.model+%3D+%27vit%27")
    page.wait_for_selector(".grid-row .status")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitem", name="Save this view").click()
    page.get_by_role("textbox", name="Name").fill("vits <b>")
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_selector("text=Saved as vits <b>")

    other = open_browser().open("/experiments")
    other.get_by_role("button", name="Saved views").click()
    other.get_by_role("menuitemcheckbox", name="vits <b>").click()
    other.wait_for_selector("h1 >> text=fraud")
    assert other.get_by_label("Filter runs").input_value() == "params.model = 'vit'"
    other.get_by_role("button", name="Saved views").click()
    other.get_by_role("menuitem", name="Forget vits <b>").click()
    until(lambda: "vits" not in other.request.get(f"{logged.url}/api/v1/views").text(), "the view is forgotten")


def test_a_curve_stands_in_a_row(browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?col=status&col=curve.loss")
    page.wait_for_selector(".grid-row .spark path")
