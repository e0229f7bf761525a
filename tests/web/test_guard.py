"""Who may do what, and what texts from others can do: nothing."""

import json
from urllib.parse import quote

import pytest
from conftest import HOSTILE
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag
from wire import Wire

# Parts of a run's page, and what says that they are shown.
PLACES = {
    "": ".prose",
    "?tab=charts": "canvas",
    "?tab=artifacts&file=%3Cb%3E.txt": "pre.text",
    "?tab=artifacts&file=card.md": ".file .prose",
    "?tab=artifacts&file=picture.svg": ".picture",
}


@pytest.mark.parametrize(("place", "shown"), PLACES.items())
def test_no_name_of_a_run_becomes_anything_but_text(browser, logged, place, shown):
    page = browser.open(f"{logged.hash('hostile', 'hostile')}{place}")
    page.wait_for_selector(shown)
    assert page.locator("h1").inner_text().startswith("<img src=x")
    assert page.locator("main img:not(.picture), main script").count() == 0
    assert page.locator("main a[href^='javascript']").count() == 0


def test_no_name_in_a_list_becomes_anything_but_text(browser, logged):
    run = logged.runs["hostile"]
    for view in ["/experiments", logged.hash("hostile"), f"/compare?run={run}&run={logged.runs['trial 1']}"]:
        page = browser.open(view)
        page.wait_for_selector(".grid-row .status, .compare-table")
        assert page.locator("main img, main script").count() == 0
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").fill("<img")
    page.get_by_role("option").first.wait_for()
    assert page.locator("[role=dialog] img").count() == 0


def test_no_name_of_a_device_a_model_a_dataset_or_a_view_becomes_anything_but_text(devices, open_browser, shots):
    device = devices("odd")
    device.name = HOSTILE
    device.up()
    client = MlflowClient(device.url)
    run = client.create_run("0", run_name=HOSTILE).info.run_id
    client.log_param(run, "p", HOSTILE)
    dataset = Dataset(name=HOSTILE, digest="d", source_type=HOSTILE, source=HOSTILE, schema=HOSTILE, profile=HOSTILE)
    client.log_inputs(run, [DatasetInput(dataset, [InputTag("mlflow.data.context", HOSTILE)])])
    client.create_registered_model(HOSTILE, {"tag": HOSTILE}, HOSTILE)
    client.create_model_version(HOSTILE, "s3://bucket/net", run, {"tag": HOSTILE}, description=HOSTILE)
    Wire(device.url).send("POST", "/api/v1/views", json.dumps({"name": HOSTILE, "address": "#/mesh"}).encode(), {"content-type": "application/json"})
    browser = open_browser(device.url)
    page = browser.page
    views = {
        "/models": ".model-table td",
        f"/models/{quote(HOSTILE, safe='')}/versions/1": ".version-body",
        f"/experiments/0/runs/{run}": ".dataset",
        "/experiments/0?col=attributes.device&col=params.p": ".grid-row .name",
        "/experiments/0?group=params.p": ".groups td",
        "/experiments/0?view=charts&group=params.p": ".legend-group",
        "/mesh": ".peer",
    }
    for view, shown in views.items():
        page.goto(f"{device.url}/#{view}")
        page.wait_for_selector(shown)
        assert page.locator("main").get_by_text("<img src=x").count() > 0, view
        assert page.locator("main img, main script").count() == 0, view
    page.goto(f"{device.url}/#/experiments/0")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("menuitemcheckbox", name="<img src=x").wait_for()
    page.screenshot(path=shots / "hostile-names-light.png")
    assert page.locator("main img, main script").count() == 0


def test_the_browser_is_told_to_run_nothing_else(device):
    wire = Wire(device.url)
    policy = wire.send("GET", "/").headers["content-security-policy"]
    for part in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'", "trusted-types 'none'"]:
        assert part in policy
    assert "unsafe" not in policy
    frame = wire.send("GET", "/ui/frame.html").headers["content-security-policy"]
    assert frame.startswith("sandbox allow-scripts; default-src 'none'") and "connect-src" not in frame
    for path in ["/ui/../Cargo.toml", "/ui/%2e%2e/Cargo.toml", "/ui/vendor/vendor.json", "/ui/", "/ui/index.html"]:
        assert wire.send("GET", path).status == 404, path


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "http://localhost:8888", "null"])
def test_another_page_writes_nothing(device, origin):
    wire = Wire(device.url)
    for path in ["experiments", "runs/update", "runs/table", "invite", "shutdown"]:
        answer = wire.send("POST", f"/api/v1/{path}", b"{}", {"Origin": origin, "Content-Type": "text/plain"})
        assert answer.status in (403, 409), (path, answer.status)
        assert "access-control-allow-origin" not in answer.headers


def test_inviting_demands_the_token_and_a_link_brings_it(open_browser, device, logged):
    browser = open_browser()
    browser.may_be_refused = True
    page = browser.open("/mesh?invite=1")
    page.get_by_role("button", name="Make a ticket").click()
    page.get_by_label("Token, or the whole link").fill("0" * 64)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector("text=That was not the token")
    link = device.ask("ui")["link"]
    page.get_by_label("Token, or the whole link").fill(link)
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector(".qr")

    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("main h1")
    assert "token" not in page.url
    token = link.rpartition("=")[2]
    assert page.evaluate("sessionStorage.getItem('runmesh-token')") == token


def test_a_daemon_that_wants_the_token_shows_nothing_without(devices, open_browser):
    device = devices("locked")
    device.require_token = "true"
    device.up()
    browser = open_browser(device.url)
    browser.may_be_refused = True
    page = browser.page
    page.goto(device.url)
    page.get_by_label("Token, or the whole link").fill(device.ask("token")["token"])
    page.get_by_role("button", name="Open", exact=True).click()
    page.wait_for_selector(".empty")
