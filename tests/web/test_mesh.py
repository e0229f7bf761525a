"""The mesh, by the page alone: one device invites, another joins, each sees the other, and they settle what they disagree on."""

import mlflow
import pytest
from devices import until
from mlflow import MlflowClient


def open_with_token(open_browser, device):
    browser = open_browser(device.url)
    browser.page.goto(device.ask("ui")["link"])
    browser.page.wait_for_selector("main h1")
    browser.page.goto(f"{device.url}/#/mesh")
    browser.page.wait_for_selector("h1 >> text=Mesh")
    return browser


def test_a_device_joins_by_the_ticket_that_another_shows(devices, open_browser, shots):
    ann, bob = devices("ann").up(), devices("bob").up()
    at_ann, at_bob = open_with_token(open_browser, ann), open_with_token(open_browser, bob)

    page = at_ann.page
    page.get_by_role("button", name="Invite a device").first.click()
    page.get_by_role("button", name="Make a ticket").click()
    page.wait_for_selector(".qr")
    page.screenshot(path=shots / "ticket-light.png")
    line = page.locator(".ticket code").inner_text()
    assert line.startswith("runmesh join ")
    page.get_by_role("button", name="Done").click()

    other = at_bob.page
    other.get_by_role("button", name="Join another workspace").click()
    other.get_by_label("Ticket").fill(line)
    other.get_by_role("button", name="Join", exact=True).click()
    other.wait_for_selector(".peer.here >> text=ann")
    page.wait_for_selector(".peer.here >> text=bob")
    page.screenshot(path=shots / "mesh-met-light.png")
    assert "writer" in page.get_by_label("Other devices").locator(".peer", has_text="bob").inner_text()


@pytest.fixture
def disputed(devices):
    """Two devices that set the same param and tag of a run to different values while apart, and the run."""
    ann, bob = devices("ann").up(), devices("bob").up()
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0", run_name="first") as run:
        mlflow.log_metric("loss", 0.5)
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    ann.down()
    for device, value in [(bob, "0.2"), (ann, "0.1")]:
        if not device.process:
            device.up()
        client = MlflowClient(device.url)
        client.log_param(run.info.run_id, "lr", value)
        client.set_tag(run.info.run_id, "verdict", f"<i>{value}")
        device.down()
    ann.up(), bob.up()
    until(lambda: len(ann.ask("conflicts")["conflicts"]) == len(bob.ask("conflicts")["conflicts"]) == 2, "both know of it")
    return ann, bob, run.info.run_id


def test_a_conflict_is_settled_by_a_button(disputed, open_browser, shots):
    ann, bob, run = disputed
    browser = open_with_token(open_browser, ann)
    page = browser.page
    conflicts = page.get_by_role("region", name="Conflicts")
    conflicts.get_by_role("button", name="Keep this: 0.2 for params.lr").wait_for()
    assert "bob" in conflicts.inner_text() and "served now" in conflicts.inner_text()
    page.screenshot(path=shots / "conflicts-light.png", full_page=True)
    assert browser.axe() == []
    conflicts.get_by_role("link", name="first").first.click()
    page.wait_for_selector("h1 >> text=first")
    conflicts.get_by_role("button", name="Keep this: 0.2 for params.lr").click()
    page.wait_for_selector(".toast >> text=params.lr is 0.2")
    page.screenshot(path=shots / "run-conflict-light.png", full_page=True)
    conflicts.get_by_role("button", name="Set another value").click()
    page.get_by_label("Value", exact=True).fill("undecided")
    page.get_by_role("button", name="Set it").click()
    conflicts.wait_for(state="detached")
    for device in (ann, bob):
        client = MlflowClient(device.url)
        until(lambda: client.get_run(run).data.tags.get("verdict") == "undecided", "it is settled everywhere")
        assert client.get_run(run).data.params == {"lr": "0.2"}


def test_a_bundle_is_saved_and_dropped(devices, open_browser, tmp_path, shots):
    ann, bob = devices("ann").up(), devices("bob")
    mlflow.set_tracking_uri(ann.url)
    ticket = ann.ask("invite")["ticket"]
    ann.down()
    bob.up()
    bob.ask("join", "--unmet", "--leave-behind", ticket)
    bob.ask("bundle", "export", "--all", str(tmp_path / "join.bundle"))
    bob.down()

    ann.up()
    browser = open_with_token(open_browser, ann)
    page = browser.page
    page.get_by_label("Bundles to import").set_input_files(tmp_path / "join.bundle")
    page.wait_for_selector(".came >> text=new entr")
    with mlflow.start_run(experiment_id="0", run_name="carried"):
        mlflow.log_text("weights", "model.txt")
    # A browser that asks where to save a file would wait for a person.
    page.evaluate("delete window.showSaveFilePicker")
    page.get_by_role("button", name="Export").click()
    page.get_by_label("What it holds").select_option(label="everything")
    with page.expect_download() as saved:
        page.get_by_role("dialog").get_by_role("button", name="Export", exact=True).click()
    saved.value.save_as(tmp_path / "carried.bundle")
    page.wait_for_selector(".toast >> text=The bundle is saved")
    page.screenshot(path=shots / "bundles-light.png", full_page=True)
    assert browser.axe() == []
    browser.may_be_refused = True
    ann.down()

    bob.up()
    other = open_with_token(open_browser, bob).page
    drop = """async (bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "carried.bundle"));
      const place = document.querySelector(".drop");
      for (const type of ["dragover", "drop"]) place.dispatchEvent(new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    other.evaluate(drop, list((tmp_path / "carried.bundle").read_bytes()))
    other.wait_for_selector(".came >> text=1 new file")
    other.goto(f"{bob.url}/#/experiments")
    other.wait_for_selector(".grid-row >> text=carried")


def test_what_a_file_is_held_by_is_shown_and_it_is_pinned(devices, open_browser, shots):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0", run_name="first") as run:
        mlflow.log_text("weights", "model.txt")
    bob.ask("sync", "--wait")
    browser = open_with_token(open_browser, ann)
    page = browser.page
    page.goto(f"{ann.url}/#/experiments/0/runs/{run.info.run_id}?tab=artifacts&file=model.txt")
    page.wait_for_selector(".holders >> text=this device")
    page.wait_for_selector(".holders >> text=bob")
    page.get_by_role("button", name="Keep it here").click()
    page.get_by_role("button", name="kept here; let it go").wait_for()
    page.screenshot(path=shots / "holders-light.png")
    assert browser.axe() == []
    page.goto(f"{ann.url}/#/mesh")
    kept = page.get_by_role("region", name="Kept here")
    kept.get_by_role("link", name="model.txt").wait_for()
    page.screenshot(path=shots / "pins-light.png", full_page=True)
    kept.get_by_role("button", name="Let go").click()
    kept.wait_for(state="detached")


def test_the_page_shows_each_workspace_at_its_address(devices, open_browser, shots):
    ann = devices("ann").up()
    ann.ask("workspace", "create", "side")
    for place, name in [("", "here"), ("/w/side", "there")]:
        mlflow.set_tracking_uri(f"{ann.url}{place}")
        with mlflow.start_run(experiment_id="0", run_name=name):
            mlflow.log_metric("loss", 0.5)
    browser = open_browser(ann.url)
    page = browser.page
    page.goto(f"{ann.url}/#/experiments")
    page.wait_for_selector(".grid-row >> text=here")
    page.get_by_role("button", name="show another").click()
    page.screenshot(path=shots / "workspaces-light.png")
    assert browser.axe() == []
    page.get_by_role("menuitemcheckbox", name="side").click()
    page.wait_for_url("**/w/side/**")
    page.wait_for_selector(".grid-row >> text=there")
    page.wait_for_selector(".place >> text=side")
    page.get_by_role("link", name="Mesh", exact=True).click()
    page.wait_for_selector(f".paste >> text=MLFLOW_TRACKING_URI={ann.url}/w/side")
    assert page.url == f"{ann.url}/w/side/#/mesh"
