"""Columns of the table that only this program has, and what admins alone do in it."""

import mlflow
from devices import until
from test_mesh import open_with_token
from test_runs import names, shows


def test_runs_are_sorted_by_how_long_they_took(browser, logged):
    logged.experiment("lengths")
    for name, took_ms in [("short", 40), ("long", 3_600_000), ("middle", 2_000)]:
        run = logged.run("lengths", name)
        started = logged.client.get_run(run).info.start_time
        logged.client.set_terminated(run, end_time=started + took_ms)
    logged.run("lengths", "still running")
    page = browser.open(logged.hash("lengths"))
    heading = page.get_by_role("columnheader", name="Duration").locator(".grid-sort")
    heading.click()
    until(lambda: names(page) == ["long", "middle", "short", "still running"], "the longest is first")
    heading.click()
    until(lambda: names(page) == ["short", "middle", "long", "still running"], "the shortest is first")
    page.get_by_label("Filter runs").fill("attributes.duration > 1000")
    page.get_by_label("Filter runs").press("Enter")
    shows(page, "2 runs")


def test_a_row_draws_its_filters_when_it_is_pointed_at_or_active(browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?col=status")
    page.wait_for_selector("#row-2")
    filters = [page.locator(f"#row-{index} .grid-filter") for index in range(3)]
    until(lambda: [one.count() for one in filters] == [1, 0, 0], "the active row has them")
    page.locator("#row-2 .name").hover()
    until(lambda: [one.count() for one in filters] == [1, 0, 1], "the row under the pointer has them")
    page.locator(".grid").focus()
    page.keyboard.press("j")
    until(lambda: [one.count() for one in filters] == [0, 1, 1], "the row that is active now has them")


def test_columns_are_moved_without_a_mouse(browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?col=status&col=started")
    headings = page.locator(".grid-heading .grid-sort")
    page.get_by_role("columnheader", name="Status").get_by_role("button", name="Column Status").focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Move to the right").focus()
    page.keyboard.press("Enter")
    until(lambda: [text.strip() for text in headings.all_inner_texts()] == ["Run", "Started", "Status"], "it has moved")
    assert "col=started&col=status" in page.url


def test_how_wide_a_column_is_goes_with_the_address(browser, logged):
    page = browser.open(f"{logged.hash('fraud')}?col=status&col=metrics.loss")
    heading = page.get_by_role("columnheader", name="loss")
    edge = heading.locator(".grid-edge").bounding_box()
    before = heading.bounding_box()["width"]
    page.mouse.move(edge["x"] + 3, edge["y"] + 10)
    page.mouse.down()
    page.mouse.move(edge["x"] + 103, edge["y"] + 10, steps=4)
    page.mouse.up()
    assert heading.bounding_box()["width"] == before + 100
    assert f"w={before + 100:.0f}%3Ametrics.loss" in page.url
    # Without a mouse, and whoever opens the address.
    heading.get_by_role("button", name="Column loss").focus()
    page.keyboard.press("Enter")
    page.get_by_role("menuitem", name="Narrower").focus()
    page.keyboard.press("Enter")
    until(lambda: heading.bounding_box()["width"] == before + 60, "it is narrower")
    page.evaluate("localStorage.clear()")
    page.reload()
    page.wait_for_selector(".grid-row .status")
    assert heading.bounding_box()["width"] == before + 60


def test_a_million_rows_are_reached_to_the_last(browser, logged):
    """Taller than a browser makes an element, so a pixel of scrolling is more than one of rows."""
    total = 1_000_000

    def row(at: int) -> dict:
        return {
            "id": f"{at:032x}", "experiment": logged.experiments["fraud"], "name": f"row {at}", "user": "ann", "status": "FINISHED",
            "lifecycle": "active", "start_ms": at, "end_ms": at, "conflicted": False, "values": [],
        }

    def answer(route) -> None:
        asked = route.request.post_data_json
        until_row = min(total, asked["offset"] + asked["limit"])
        rows = [row(at) for at in range(asked["offset"], until_row)]
        route.fulfill(json={"set": 1, "total": total, "columns": [], "rows": rows})

    page = browser.page
    page.route("**/runs/table", answer)
    browser.open(logged.hash("fraud"))
    shows(page, "1,000,000 runs")
    page.locator(".grid").focus()
    seen = "name => { const row = [...document.querySelectorAll('.grid-row .name a')].find((a) => a.innerText === name); \
            if (!row) return false; const [r, g] = [row, document.querySelector('.grid')].map((one) => one.getBoundingClientRect()); \
            return r.top >= g.top && r.bottom <= g.bottom; }"
    for key, name in [("End", "row 999999"), ("k", "row 999998"), ("Home", "row 0"), ("j", "row 1")]:
        page.keyboard.press(key)
        until(lambda name=name: page.evaluate(seen, name), f"{name} is in view")
    page.evaluate("const grid = document.querySelector('.grid'); grid.scrollTop = grid.scrollHeight / 2")
    until(lambda: any(name.startswith("row 4999") or name.startswith("row 5000") for name in names(page)), "the middle is shown")


def test_the_device_that_wrote_a_run_stands_in_its_row(devices, open_browser, shots):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    for device, name in [(ann, "of ann"), (bob, "of bob")]:
        mlflow.set_tracking_uri(device.url)
        with mlflow.start_run(experiment_id="0", run_name=name):
            mlflow.log_metric("loss", 0.5)
    bob.ask("sync", "--wait")
    with mlflow.start_run(experiment_id="0", run_name="of bob, later"):
        pass
    bob.ask("sync", "--wait")
    browser = open_browser(ann.url)
    page = browser.page
    tables = []
    page.on("request", lambda request: request.url.endswith("/runs/table") and tables.append(request))
    page.goto(f"{ann.url}/#/experiments/0")
    for device, run in [("ann", "of ann"), ("bob", "of bob, later")]:
        page.locator(".grid-row", has_text=run).locator(".grid-cell").get_by_text(device, exact=True).wait_for()
    assert "columns" not in tables[0].post_data_json, "the daemon knows that others are here"
    page.screenshot(path=shots / "device-light.png")

    # They are sorted, filtered and grouped by it.
    page.get_by_role("columnheader", name="Device").locator(".grid-sort").click()
    until(lambda: names(page)[:1] == ["of ann"], "those of ann come first")
    page.get_by_role("columnheader", name="Device").locator(".grid-sort").click()
    until(lambda: names(page) == ["of bob, later", "of bob", "of ann"], "those of bob come first")
    page.get_by_label("Group by").select_option("attributes.device")
    page.locator(".groups tr", has=page.get_by_role("button", name="bob")).locator("td").first.get_by_text("2").wait_for()
    page.get_by_label("Group by").select_option("")
    page.locator(".grid-row", has_text="of ann").get_by_text("ann", exact=True).hover()
    page.get_by_label("Only runs with attributes.device = 'ann'").click()
    until(lambda: names(page) == ["of ann"], "only those of ann are shown")
    # The start of its id will do, and the command line asks the same.
    id_of_bob = next(peer["device"]["id"] for peer in ann.ask("peers") if peer["device"]["name"] == "bob")
    found = ann.ask("runs", f"attributes.device = '{id_of_bob[:8]}'")["runs"]
    assert {run["name"] for run in found} == {"of bob", "of bob, later"}
    found = ann.ask("runs", "attributes.device != 'bob'")["runs"]
    assert [run["name"] for run in found] == ["of ann"]
    found = ann.ask("runs", "--order-by", "attributes.device DESC", "--order-by", "attributes.start_time ASC")["runs"]
    assert [run["name"] for run in found] == ["of bob", "of bob, later", "of ann"]


def test_deleted_runs_are_purged_by_an_admin_who_means_it(devices, open_browser, shots):
    ann = devices("ann").up()
    client = mlflow.MlflowClient(ann.url)
    runs = [client.create_run("0", run_name=f"old {at}").info.run_id for at in range(3)]
    for run in runs:
        client.log_text(run, f"weights of {run}", "model.txt")
    browser = open_with_token(open_browser, ann)
    page = browser.page
    page.goto(f"{ann.url}/#/experiments/0")
    page.get_by_label("Choose old 0").check()
    assert page.get_by_role("toolbar").get_by_role("button", name="Purge").count() == 0
    page.get_by_label("Choose old 1").check()
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    shows(page, "1 run")
    page.goto(f"{ann.url}/#/experiments/0?deleted=1")
    shows(page, "2 deleted runs")
    page.get_by_label("Choose all").check()
    page.get_by_role("toolbar").get_by_role("button", name="Purge").click()
    dialog = page.get_by_role("dialog")
    go = dialog.get_by_role("button", name="Purge")
    assert go.is_disabled()
    dialog.get_by_label("Write purge to confirm").fill("yes")
    assert go.is_disabled()
    page.screenshot(path=shots / "purge-light.png")
    assert browser.axe() == []
    dialog.get_by_label("Write purge to confirm").fill("purge")
    go.click()
    page.wait_for_selector(".toast >> text=2 runs purged")
    page.wait_for_selector(".toast >> text=2 files freed here")
    page.wait_for_selector(".empty")
    assert [run.info.run_id for run in client.search_runs(["0"], run_view_type=3)] == [runs[2]]

    # The page of one that is deleted can do it too.
    client.delete_run(runs[2])
    page.goto(f"{ann.url}/#/experiments/0/runs/{runs[2]}")
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Purge for good").click()
    dialog.get_by_label("Write purge to confirm").fill("purge")
    dialog.get_by_label("Write purge to confirm").press("Enter")
    page.wait_for_selector("h1 >> text=Default")
    assert client.search_runs(["0"], run_view_type=3) == []
