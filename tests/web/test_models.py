"""The registry: a model is registered from its run, promoted, replaced and rolled back, with reasons."""

import pytest
from devices import until
from mlflow import MlflowClient


@pytest.fixture
def versions(logged):
    """Two versions of a model, each with a run of its own."""
    logged.experiment("registry")
    for at in range(2):
        run = logged.run("registry", f"fit {at}", lr=0.1 * (at + 1))
        logged.client.log_text(run, "flavors: {}\n", "model/MLmodel")
    name = "fraud <b> detector"
    logged.client.create_registered_model(name)
    for at in range(2):
        run = logged.runs[f"fit {at}"]
        logged.client.create_model_version(name, f"runs:/{run}/model", run_id=run)
    return name


def promote(page, version: int, why: str, verb: str) -> None:
    line = page.locator(".version", has_text=f"version {version}").first
    line.get_by_role("button", name=verb, exact=True).click()
    page.get_by_label("Why").fill(why)
    page.get_by_role("dialog").get_by_role("button", name=verb.removesuffix(" to"), exact=True).click()
    page.wait_for_selector(f".history-note >> text={why}")


def stage(logged, name: str, version: int) -> str:
    return logged.client.get_model_version(name, str(version)).current_stage


def test_a_version_is_promoted_and_rolled_back(open_browser, device, logged, versions, shots):
    browser = open_browser()
    browser.page.goto(device.ask("ui")["link"])
    page = browser.open("/models")
    page.get_by_role("link", name=versions).click()
    page.wait_for_selector("h1 >> text=fraud <b> detector")
    source = page.locator(".lineage a", has_text="fit 1")
    source.first.wait_for()
    assert source.count() == 1
    promote(page, 1, "best of the first batch", "Promote")
    assert stage(logged, versions, 1) == "Production"
    promote(page, 2, "half the loss", "Promote")
    assert (stage(logged, versions, 1), stage(logged, versions, 2)) == ("Archived", "Production")
    promote(page, 1, "it drifted", "Roll back to")
    assert (stage(logged, versions, 1), stage(logged, versions, 2)) == ("Production", "Archived")
    page.screenshot(path=shots / "model-light.png")
    assert browser.axe() == []
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=shots / "model-dark.png")


def test_a_run_registers_its_model(open_browser, device, logged):
    logged.experiment("registering")
    run = logged.run("registering", "fit")
    logged.client.log_text(run, "flavors: {}\n", "model/MLmodel")
    browser = open_browser()
    browser.page.goto(device.ask("ui")["link"])
    page = browser.open(logged.hash("registering", "fit"))
    page.get_by_role("button", name="More", exact=True).click()
    page.get_by_role("menuitem", name="Register a model").click()
    page.get_by_label("Registered model").fill("from the page")
    page.get_by_role("button", name="Register", exact=True).click()
    page.wait_for_selector("h1 >> text=from the page")
    assert logged.client.get_model_version("from the page", "1").run_id == run


def test_an_alias_that_two_devices_moved_is_settled_on_its_page(devices, open_browser, shots):
    ann, bob = devices("ann").up(), devices("bob").up()
    client = MlflowClient(ann.url)
    client.create_registered_model("net")
    for _ in range(3):
        client.create_model_version("net", "s3://bucket/net")
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    ann.down()
    MlflowClient(bob.url).set_registered_model_alias("net", "champion", "2")
    bob.down(), ann.up()
    client.set_registered_model_alias("net", "champion", "3")
    bob.up()
    until(lambda: len(ann.ask("conflicts")["conflicts"]) == 1, "ann knows of it")

    browser = open_browser(ann.url)
    page = browser.page
    page.goto(f"{ann.url}/#/models/net")
    conflict = page.get_by_role("region", name="Conflicts")
    conflict.get_by_text("alias champion").wait_for()
    page.screenshot(path=shots / "model-conflict-light.png")
    assert browser.axe() == []
    conflict.locator(".choice", has_text="bob").get_by_role("button").click()
    conflict.wait_for(state="detached")
    for device in (ann, bob):
        client = MlflowClient(device.url)
        until(lambda: client.get_model_version_by_alias("net", "champion").version in (2, "2"), "bob's counts everywhere")


def test_the_list_says_what_a_model_is_for_without_the_signs_of_markdown(browser, logged):
    page = browser.open("/models")
    row = page.get_by_role("row", name="detector").first
    until(lambda: row.locator("small").inner_text() == "Finds fraud.", "it is plain")
