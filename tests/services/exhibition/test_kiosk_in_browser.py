"""The kiosk in a real Chromium, by touch: full screen, large, no way out; alone it goes through all masks."""

from __future__ import annotations

import json
import time

import pytest

from coordinator.record.chronicle import Chronicle
from services.exhibition.credits import Credits
from services.exhibition.facts import with_shapes
from services.exhibition.kiosk import Stand, kiosk_page
from services.exhibition.wording import english
from worker.exhibition.pack import show_of

SCREENS = {"landscape": (1920, 1080), "portrait": (1080, 1920), "old": (1024, 768), "quick": (640, 480)}
READY = "return document.documentElement.hasAttribute('data-ready') && kiosk.state.view.drawn > 0"
HOSTILE = "</script><script>window.stolen=1</script><a href='https://example.org'>out</a>"


@pytest.fixture(scope="module")
def grown(runs, tmp_path_factory):
    """A run with three masks."""
    return runs.grow(tmp_path_factory.mktemp("kiosk") / "run", generations=6, elites=3)


def stand_at(grown, folder, *, idle_s=3600.0, hold_s=3600.0, change_s=1.0, **said):
    """The kiosk's page as a file; returns its address and the labels' titles."""
    plan = Chronicle(grown.record).plan()
    show = show_of(grown.record.store, plan.facts, Credits(**{"artist": "Ada Example", **said}), english())
    stand = Stand(show.title, show.labels, show.about, idle_s, hold_s, change_s)
    where = folder / "kiosk.html"
    where.write_bytes(kiosk_page(with_shapes(plan, grown.record.store, {}), stand, english()))
    return where.as_uri(), [label.title for label in show.labels]


def visit(driver, web, address, screen="quick"):
    web.resize(driver, *SCREENS[screen])
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    driver.get("about:blank")
    web.complaints(driver), web.requests(driver)
    driver.get(address)
    web.wait(driver, READY, "the kiosk")


def finger(driver, way, took_s):
    """One finger along a way of places. The times of its events are told, however slow this machine is."""
    began = time.time()
    for k, (x, y) in enumerate(way):
        at = {"timestamp": began + took_s * k / max(len(way) - 1, 1), "touchPoints": [{"x": x, "y": y}]}
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchMove" if k else "touchStart", **at})
    end = {"type": "touchEnd", "timestamp": began + took_s, "touchPoints": []}
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", end)


def tap(driver, element):
    box = driver.execute_script(
        "const b = document.getElementById(arguments[0]).getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]",
        element,
    )
    finger(driver, [box], 0.05)


def across(driver, length):
    """Places on the mask, from the middle of its side of the screen to the left, or to the right."""
    x, y = driver.execute_script(
        "const b = document.getElementById('view').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    return [(x + length * k / 6, y) for k in range(7)]


def title(driver):
    return driver.execute_script("return document.getElementById('title').textContent")


@pytest.mark.parametrize("screen", ["landscape", "portrait", "old"])
def test_it_fills_the_screen_and_leads_nowhere(chromium, web, grown, tmp_path, screen):
    address, _ = stand_at(grown, tmp_path, statement="What it sees, it says in a number. " * 12)
    visit(chromium, web, address, screen)
    tap(chromium, "label")  # it stands still from here on
    width, height = SCREENS[screen]
    for place in ("document.documentElement", "document.body", "document.querySelector('main')"):
        size = f"const e = {place}; return [e.scrollWidth, e.scrollHeight]"
        assert chromium.execute_script(size) == [width, height], place
    inside = (
        "const [l, w] = ['label', 'words'].map((i) => document.getElementById(i).getBoundingClientRect());"
        "return w.top >= l.top && w.bottom <= l.bottom + 1 && w.right <= l.right"
    )
    assert chromium.execute_script(inside)
    assert (
        chromium.execute_script("return document.querySelectorAll('a, iframe, form, [href^=http]').length")
        == 0
    )
    small = chromium.execute_script(
        "return [...document.querySelectorAll('button')].filter((b) => b.offsetParent).map((b) => "
        "[b.getBoundingClientRect(), parseFloat(getComputedStyle(b).fontSize)])"
        ".filter(([b, size]) => b.width < 60 || b.height < 60 || size < 20).length"
    )
    assert small == 0
    type_px = "return parseFloat(getComputedStyle(document.getElementById('text')).fontSize)"
    assert chromium.execute_script(type_px) >= (20 if screen != "old" else 12)
    assert not web.complaints(chromium)
    assert web.requests(chromium) == [address]


def test_a_swipe_shows_the_next_mask_and_a_slow_finger_turns_this_one(chromium, web, grown, tmp_path):
    address, titles = stand_at(grown, tmp_path)
    visit(chromium, web, address)
    tap(chromium, "label")  # somebody is here
    assert title(chromium) == titles[0]
    finger(chromium, across(chromium, -150), 0.2)
    assert title(chromium) == titles[1]
    finger(chromium, across(chromium, 150), 0.2)
    assert title(chromium) == titles[0]
    before = chromium.execute_script("return kiosk.state.view.snapshot(120)")
    finger(chromium, across(chromium, -150), 2.0)
    web.wait(chromium, f"return kiosk.state.view.snapshot(120) !== {json.dumps(before)}", "a turn")
    assert title(chromium) == titles[0]
    tap(chromium, "next")
    tap(chromium, "next")
    assert title(chromium) == titles[2]
    tap(chromium, "next")
    assert title(chromium) == titles[0]  # the last is before the first
    assert "Ada Example" in chromium.execute_script("return document.getElementById('label').textContent")


def test_left_alone_it_goes_from_mask_to_mask_until_somebody_comes(chromium, web, grown, tmp_path):
    address, titles = stand_at(grown, tmp_path, idle_s=2.0, hold_s=1.0, change_s=1.0)
    visit(chromium, web, address)
    seen = f"return kiosk.state.shown >= {len(titles) + 2}"
    web.wait(chromium, seen, "a round through all masks")
    assert chromium.execute_script("return kiosk.state.idle")
    tap(chromium, "label")
    web.wait(chromium, "return document.body.classList.contains('idle')", "the loop, once nobody touches it")


def test_it_tells_how_a_mask_grew_and_what_was_done(chromium, web, grown, tmp_path):
    address, _ = stand_at(grown, tmp_path)
    visit(chromium, web, address)
    # What stands there for a picture or two may be gone when a busy machine looks.
    chromium.execute_script(
        "window.told = []; const moment = document.getElementById('moment');"
        "new MutationObserver(() => told.push(moment.textContent)).observe(moment, { childList: true });"
    )
    tap(chromium, "grow")
    web.wait(chromium, "return told.includes('generation 0')", "noise")
    web.wait(chromium, "return !kiosk.state.growing", "the mask")
    tap(chromium, "about-open")
    told = "const a = document.getElementById('about'); return a.hidden ? '' : a.textContent"
    assert "What does a machine look for" in chromium.execute_script(told)
    tap(chromium, "about-close")
    assert chromium.execute_script(told) == ""


def test_what_was_given_for_a_label_shows_as_text(chromium, web, grown, tmp_path):
    address, _ = stand_at(grown, tmp_path, title="</script> <b>x</b>", statement=HOSTILE.replace("><", "> <"))
    visit(chromium, web, address)
    assert title(chromium).startswith("</script>")
    assert chromium.execute_script("return window.stolen === undefined")
    assert chromium.execute_script("return document.querySelectorAll('a').length") == 0
    assert not web.complaints(chromium)
