"""The mesh, by the page alone: one device invites, another joins, and each sees the other."""


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
