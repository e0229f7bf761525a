"""A run's page: what it shows, and what people write there."""

from devices import until


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


def test_files_are_shown_as_what_they_are(browser, logged):
    page = browser.open(f"{logged.hash('fraud', 'trial 3')}?tab=artifacts")
    page.get_by_role("button", name="tables").click()
    page.get_by_role("button", name="history.csv").click()
    page.wait_for_selector(".file td >> text=0.25")
    page.get_by_role("button", name="config.json").click()
    page.wait_for_selector('.file pre >> text="b": [')
    page.get_by_role("button", name="card.md").click()
    page.wait_for_selector(".file .prose em >> text=fraud")
    page.get_by_role("button", name="really.txt").click()
    page.wait_for_selector(".file >> text=no text and no picture")


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
