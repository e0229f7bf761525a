"""A run's page: what it shows, and what people write there."""

from devices import until
from mlflow.entities import Param


def test_the_link_that_mlflow_prints_opens_the_run(browser, logged):
    link = f"{logged.url}/#/experiments/{logged.experiments['fraud']}/runs/{logged.runs['trial 3']}"
    browser.page.goto(link)
    page = browser.page
    page.wait_for_selector("h1 >> text=trial 3")
    page.wait_for_selector(".prose h2 >> text=Baseline")
    page.wait_for_selector(".prose td >> text=2")
    assert page.locator(".links a", has_text="fold 1").count() == 1


def test_a_note_is_edited_in_place(browser, logged):
    page = browser.open(logged.hash("fraud", "trial 4"))
    page.get_by_role("button", name="Write").click()
    page.get_by_label("Note, in Markdown").fill("It *works*.")
    page.get_by_label("Note, in Markdown").press("Control+Enter")
    page.wait_for_selector(".prose em >> text=works")
    tags = logged.client.get_run(logged.runs["trial 4"]).data.tags
    assert tags["mlflow.note.content"] == "It *works*."


def test_values_follow_the_run(browser, logged):
    page = browser.open(logged.hash("fraud", "trial 5"))
    page.wait_for_selector(".metrics")
    logged.client.log_metric(logged.runs["trial 5"], "loss", 0.015625, step=100)
    page.wait_for_selector(".metrics td >> text=0.015625")


def test_ten_thousand_params_are_found_among(browser, logged):
    run = logged.run("empty", "wide")
    for first in range(0, 10_000, 100):
        logged.client.log_batch(run, params=[Param(f"layer.{at}", str(at)) for at in range(first, first + 100)])
    page = browser.open(logged.hash("empty", "wide"))
    params = page.get_by_label("Params", exact=True)
    params.get_by_text("Show all 10,000").wait_for()
    assert params.locator("dt").count() == 200
    params.get_by_label("Find in params").fill("layer.9999")
    params.locator("dd", has_text="9999").wait_for()
    assert params.locator("dt").count() == 1
    logged.client.delete_run(run)


def test_files_are_shown_as_what_they_are(browser, logged):
    page = browser.open(f"{logged.hash('fraud', 'trial 3')}?tab=artifacts")
    page.get_by_role("button", name="tables").click()
    page.get_by_role("button", name="history.csv").click()
    page.wait_for_selector(".file td >> text=0.25")
    page.get_by_role("button", name="config.json").click()
    page.wait_for_selector('.file pre >> text="b": [')
    page.get_by_role("button", name="card.md").click()
    page.wait_for_selector(".file .prose em >> text=fraud")
    assert page.locator(".card-head dd bdi").all_inner_texts() == ["mit", "fraud, <b>tabular"]
    assert "license" not in page.locator(".file .prose").inner_text()
    page.get_by_role("button", name="really.txt").click()
    page.wait_for_selector(".file >> text=no text and no picture")


def test_a_parquet_file_is_shown_as_a_table(browser, logged, shots):
    page = browser.open(f"{logged.hash('fraud', 'trial 3')}?tab=artifacts")
    page.get_by_role("button", name="tables").click()
    for name in ["snappy", "zstd", "none"]:
        page.get_by_role("button", name=f"{name}.parquet").click()
        page.wait_for_selector(".file >> text=The first 1,000 of 3,000 rows, 3 columns")
        assert page.locator(".file tbody tr").nth(1).locator("td").all_inner_texts() == ["1", "0.5", "<b>1"]
        page.screenshot(path=shots / "parquet-light.png")
    page.get_by_role("button", name="brotli.parquet").click()
    page.wait_for_selector(".file >> text=cannot be shown")
    assert browser.axe() == []


def test_of_a_large_file_only_the_start_is_asked_for(browser, logged):
    run = logged.run("empty", "large")
    logged.client.log_text(run, "line\n" * 2_000_000, "large.log")
    page = browser.page
    with page.expect_response(lambda response: "/artifact?" in response.url) as answer:
        browser.open(f"{logged.hash('empty', 'large')}?tab=artifacts&file=large.log")
    assert answer.value.status == 206 and answer.value.headers["content-range"] == "bytes 0-524287/10000000"
    page.wait_for_selector(".file >> text=The first 524 kB of 10.0 MB")
    assert page.get_by_role("link", name="Download").get_attribute("download") == "large.log"
    logged.client.delete_run(run)


def test_what_was_changed_in_the_code_is_shown(browser, logged, shots):
    page = browser.open(logged.hash("fraud", "trial 3"))
    code = page.get_by_label("Code", exact=True)
    code.get_by_text("5b2b9a0c7d1f").wait_for()
    code.get_by_role("button", name="diff.patch").click()
    page.wait_for_selector(".diff summary >> text=train.py")
    assert page.locator(".came-line code").all_inner_texts() == ["rate = 0.01  # <b>slower</b>", "seed = 3"]
    assert page.locator(".went-line code").all_inner_texts() == ["rate = 0.1"]
    assert page.locator(".came-line .at").nth(1).inner_text() == "2"
    page.screenshot(path=shots / "diff-light.png")
    assert browser.axe() == []
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=shots / "diff-dark.png")


def test_a_logged_model_shows_its_files_and_what_it_needs(browser, logged, shots):
    page = browser.open(logged.hash("fraud", "trial 3"))
    needs = page.get_by_label("Environment")
    needs.get_by_text("requirements.txt").click()
    needs.get_by_text("scikit-learn==1.9").wait_for()
    models = page.get_by_label("Logged models")
    models.get_by_text("net", exact=True).click()
    models.get_by_text("layers").wait_for()
    page.screenshot(path=shots / "run-model-light.png", full_page=True)
    models.get_by_role("button", name="Its files").click()
    shown = page.locator(".mlmodel")
    shown.get_by_text("the customer's <b>age").wait_for()
    for text in ["long, optional", "tensor of int64, any × 2", "12.3 kB", "mlflow.sklearn"]:
        assert shown.get_by_text(text).count() == 1, text
    page.screenshot(path=shots / "mlmodel-light.png", full_page=True)
    page.get_by_role("button", name="As text").click()
    page.wait_for_selector(".file pre >> text=python_version: 3.11.2")


def test_a_page_of_the_users_runs_in_a_frame_that_reaches_nothing(browser, logged):
    page = browser.open(f"{logged.hash('fraud', 'trial 3')}?tab=artifacts&file=report.html")
    frame = page.frame_locator("iframe.frame")
    frame.locator("body >> text=it ran here alone").wait_for()
    inner = next(frame for frame in page.frames if frame != page.main_frame)
    assert inner.evaluate("window.origin") == "null"
    refused = "fetch('/api/v1/status').then(() => 'reached', () => 'refused')"
    browser.may_be_refused = True
    assert inner.evaluate(refused) == "refused"
    browser.faults.clear()


def test_a_run_that_is_not_here_says_so(browser, logged):
    browser.may_be_refused = True
    browser.page.goto(f"{logged.url}/#/experiments/1/runs/{'0' * 32}")
    browser.page.wait_for_selector(".failure")


def test_who_wrote_a_run_is_shown_with_what_they_did(browser, logged, shots):
    page = browser.open(logged.hash("fraud", "trial 3"))
    wrote = page.get_by_label("Who wrote it")
    wrote.get_by_text("laptop").first.wait_for()
    assert wrote.get_by_text("signed", exact=True).count() == 1
    wrote.get_by_text("What was done").click()
    wrote.locator(".history li").first.wait_for()
    wrote.scroll_into_view_if_needed()
    page.screenshot(path=shots / "audit-light.png")
    assert browser.axe() == []


def test_what_a_run_was_registered_as_is_shown_and_leads_there(browser, logged):
    page = browser.open(logged.hash("fraud", "trial 3"))
    page.get_by_label("Registered as").get_by_role("link", name="detector version 2").click()
    page.wait_for_selector("h1 >> text=detector")
    opened = page.locator(".version", has=page.locator("[aria-expanded=true]"))
    opened.get_by_text("@champion").wait_for()
    assert opened.count() == 1
