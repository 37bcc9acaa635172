"""The report page in a real Chromium: it draws, turns, holds the run's numbers, and talks to nobody."""

from __future__ import annotations

import json
import re
import threading
import urllib.parse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from coordinator.record.chronicle import Chronicle
from coordinator.record.page_server import serve
from services.exhibition.facts import with_shapes
from services.exhibition.page import page
from services.recognition.statistics.rates import wilson_rate
from services.shape.basis import load_basis
from services.shape.export import write_glb
from worker.exhibition.exhibit import Options, exhibit

AXE = Path(__file__).parents[2] / "data" / "axe.min.js"
SIZES = {"desktop": (1280, 860, False), "phone": (390, 844, True)}
HOSTILE = '<img src=x onerror="document.title=1"></script><script>window.stolen=1</script>&amp;'
READY = (
    "return document.documentElement.hasAttribute('data-ready') && "
    "(!datamask.state.view || datamask.state.view.drawn > 0)"
)


@pytest.fixture(scope="module")
def shown(runs, tmp_path_factory):
    """A run with its exhibition hung."""
    folder = tmp_path_factory.mktemp("shown")
    grown = runs.grow(folder / "run one", islands=2, generations=6)
    basis = load_basis("makehuman-mask-1")
    red = np.zeros(basis.neutral.shape, np.uint8)
    red[:, 0] = 220
    gaze = write_glb(np.array(basis.neutral), basis.triangles, red, name="gaze")
    grown.record.store.put(f"masks/{grown.elites[0].id}/gaze-dlib-hog.glb", gaze)

    def rate(hits, trials, **more):
        return {**asdict(wilson_rate(hits, trials)), **more}

    row = {"what": "detect", "threshold": "", "elite": rate(19, 20)}
    ahead = {"more": {"share": 0.9, "low": 0.71, "high": 0.96}}
    controls = {
        "elite": grown.elites[0].id,
        "subjects": {"noise": "noise, spread 1.2", "neutral": "neutral head"},
        "rows": [
            {**row, "machine": machine, "side": side, "noise": rate(3, 60, **ahead), "neutral": rate(20, 20)}
            for machine, side in (("audit", "audit"), ("yunet", "critic"))
        ],
    }
    grown.record.store.put("audit.json", json.dumps({"views": 20, "controls": controls}).encode())
    exhibit(grown.record.store, Chronicle(grown.record).plan(), Options(film_px=96))
    return grown


def visit(driver, web, address, size="desktop"):
    width, height, phone = SIZES[size]
    web.resize(driver, width, height, phone=phone)
    driver.get("about:blank")
    web.complaints(driver), web.requests(driver)
    driver.get(address)
    web.wait(driver, READY, "the page")


def address(grown):
    return grown.record.url + "/report.html"


def picture(driver):
    return driver.execute_script("return datamask.state.view.snapshot(160)")


def drag(driver, size):
    box = driver.execute_script(
        "const b = document.getElementById('viewer').getBoundingClientRect();"
        "return [b.left + b.width / 2, b.top + b.height / 2]"
    )
    x, y = box
    for k in range(9):
        at = {"x": x + 12 * k, "y": y}
        if size == "phone":
            kind = "touchStart" if k == 0 else "touchMove"
            driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [at]})
        else:
            kind = "mousePressed" if k == 0 else "mouseMoved"
            event = {"type": kind, "button": "left", "buttons": 1, "clickCount": 1, **at}
            driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    if size == "phone":
        driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    else:
        end = {"type": "mouseReleased", "button": "left", "clickCount": 1, "x": x + 96, "y": y}
        driver.execute_cdp_cmd("Input.dispatchMouseEvent", end)


@pytest.mark.parametrize("size", SIZES)
def test_it_draws_turns_and_asks_nobody(chromium, web, shown, size):
    visit(chromium, web, address(shown), size)
    before = picture(chromium)
    assert len(before) > 2000
    drag(chromium, size)
    web.wait(
        chromium,
        f"return datamask.state.view.snapshot(160) !== {json.dumps(before)}",
        "another side of the mask",
    )
    assert chromium.execute_script("return document.documentElement.scrollWidth") <= SIZES[size][0]
    assert not web.complaints(chromium)
    assert web.requests(chromium) == [address(shown)]


@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_no_fault(chromium, web, shown, size):
    visit(chromium, web, address(shown), size)
    chromium.execute_script(AXE.read_text(encoding="utf-8"))
    found = chromium.execute_async_script(
        "const done = arguments[arguments.length - 1]; axe.run(document, {resultTypes: ['violations']})"
        ".then((r) => done([r.passes.length,"
        "...r.violations.map((v) => [v.impact, v.id, v.nodes.map((n) => n.html).slice(0, 3)])]))"
    )
    assert found.pop(0) > 15  # rules that it had something to say to
    assert found == []


def test_the_charts_hold_the_runs_own_numbers(chromium, web, shown):
    visit(chromium, web, address(shown))
    charts = chromium.execute_script(
        "return datamask.state.plots.map((p) => p.data.map((row) => Array.from(row)))"
    )
    columns = ["fitness", "value dlib-hog", "value dlib-mmod"]
    assert len(charts) == len(columns)
    for data, column in zip(charts, columns, strict=True):
        assert data[0] == list(range(6))
        for island in range(2):
            for generation in range(6):
                own = [r for r in shown.rows if (r["island"], r["generation"]) == (island, generation)]
                best = max(own, key=lambda r: r["fitness"])
                assert data[1 + island][generation] == pytest.approx(best[column], abs=1e-4)


def test_it_leads_with_elite_against_control(chromium, web, shown, runs, tmp_path):
    visit(chromium, web, address(shown))
    read = "return ['against-lead', 'against-rates'].map((i) => document.getElementById(i).textContent)"
    lead, rates = chromium.execute_script(read)
    assert lead.startswith("yunet, which took no part in the search, sees a face in 95% (76% to 99%) of 20")
    assert "5% (2% to 14%) of noise and in 100% (84% to 100%) of the neutral head" in lead
    assert lead.endswith("Elite against noise: +90 points (+71 to +96).")
    assert rates.index("yunet") < rates.index("dlib’s own pipeline")
    order = "return [...document.querySelectorAll('main > section')].map((s) => s.id)"
    assert chromium.execute_script(order)[:2] == ["masks", "against"]
    bare = runs.grow(tmp_path / "bare", generations=5)
    where = tmp_path / "bare.html"
    where.write_bytes(page(with_shapes(Chronicle(bare.record).plan(), bare.record.store, {})))
    visit(chromium, web, where.as_uri())
    lead, rates = chromium.execute_script(read)
    assert "no controls in this run" in lead
    assert not rates
    text = chromium.execute_script("return document.body.textContent")
    assert "no detector" not in text


def test_every_link_resolves(chromium, web, shown):
    visit(chromium, web, address(shown))
    links = chromium.execute_script(
        "return [...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))"
    )
    inside = [link[1:] for link in links if link.startswith("#")]
    assert all(chromium.execute_script("return !!document.getElementById(arguments[0])", i) for i in inside)
    files = [urllib.parse.unquote(link.removeprefix("./")) for link in links if not link.startswith("#")]
    assert {"film.mp4", "run.toml", "evaluations/e00000.parquet"} <= set(files)
    assert [f for f in files if not (shown.record.store.root / f).is_file()] == []


def test_it_can_be_used_with_keys_alone(chromium, web, shown):
    visit(chromium, web, address(shown))
    reached = []
    for _ in range(60):
        key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        chromium.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", **key})
        chromium.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **key})
        reached.append(
            chromium.execute_script(
                "const e = document.activeElement; return e.id || e.dataset.mask || e.getAttribute('href')"
            )
        )
    ids = [elite.id for elite in shown.elites]
    assert {"viewer", "play", "moment", "surface", "turn", "reset", *ids, "#files", "./film.mp4"} <= set(
        reached
    )
    chromium.execute_script("document.getElementById('viewer').focus()")
    before = picture(chromium)
    chromium.execute_cdp_cmd(
        "Input.dispatchKeyEvent", {"type": "keyDown", "key": "ArrowLeft", "code": "ArrowLeft"}
    )
    web.wait(chromium, f"return datamask.state.view.snapshot(160) !== {json.dumps(before)}", "a turn by key")


def test_another_mask_is_shown_with_its_own_facts(chromium, web, shown):
    visit(chromium, web, address(shown))
    first, second = (elite.id for elite in shown.elites[:2])
    read = "return ['mask-name', 'received-lead', 'tree'].map((i) => document.getElementById(i).textContent)"
    assert first in chromium.execute_script(read)[0]
    before = picture(chromium)
    chromium.execute_script(f"document.querySelector('[data-mask=\"{second}\"]').click()")
    name, received, tree = chromium.execute_script(read)
    assert name == second
    assert second in received
    assert "noise" in tree
    # Its own line back to noise is on the slider now.
    line = [n["id"] for n in Chronicle(shown.record).plan().facts["masks"][1]["lineage"] if n["trunk"]]
    moments = "return datamask.state.moments.map((m) => m.id)"
    assert chromium.execute_script(moments) == line[::-1]
    assert chromium.execute_script("return !document.getElementById('time').hidden")
    web.wait(chromium, f"return datamask.state.view.snapshot(160) !== {json.dumps(before)}", "the other mask")
    visit(chromium, web, f"{address(shown)}#{second}")
    assert chromium.execute_script(read)[0] == second


def test_a_mask_that_was_never_ranked_has_its_fitness_on_its_own_views(chromium, web, shown, tmp_path):
    elite, other = shown.elites[1].id, "i00-g0003-001"
    where = tmp_path / "chosen.html"
    read = (
        "return ['came', 'gallery', 'mask-facts', 'moment-name', 'tree']"
        ".map((i) => document.getElementById(i).textContent)"
    )
    told = {}
    for ids in ([other], [elite], []):
        plan = Chronicle(shown.record).plan(ids=ids)
        where.write_bytes(page(with_shapes(plan, shown.record.store, {})))
        visit(chromium, web, where.as_uri())
        told[tuple(ids)] = chromium.execute_script(read)
    came, *rest = told[other,]
    assert f"the mask shown is {other}. Masks are ranked on 10 views, the same for every mask; this" in came
    assert "stands above" not in came  # there it is the best elite's
    for text in rest:
        assert "own views" in text
        assert not re.search(r"fitness [+−]\d\.\d\d(?! on its own views)", text), text
    for ids, words in (((elite,), f"the mask shown is {elite}."), ((), "the best mask is")):
        came, gallery, facts, _, _ = told[ids]
        assert words in came
        assert "and there its fitness is" in came
        assert "own views" not in gallery + facts


@pytest.mark.parametrize("size", SIZES)
def test_the_first_screen_holds_title_slider_and_masks(chromium, web, shown, size):
    visit(chromium, web, address(shown), size)
    bottom, screen, cut, lines = chromium.execute_script(
        "const g = document.querySelector('#gallery img').getBoundingClientRect();"
        "const n = document.querySelector('nav'), h = document.getElementById('title');"
        "return [g.bottom, innerHeight, n.scrollWidth - n.clientWidth,"
        "h.getBoundingClientRect().height / parseFloat(getComputedStyle(h).lineHeight)]"
    )
    assert bottom <= screen
    assert cut <= 0
    assert lines < 1.5
    broken = (
        "return [...document.querySelectorAll('.id')].filter((e) => e.getClientRects().length > 1).length"
    )
    assert chromium.execute_script(broken) == 0


def test_an_ancestor_answers_a_click_and_a_key(chromium, web, shown):
    visit(chromium, web, address(shown))
    trunk = [n for n in Chronicle(shown.record).plan().facts["masks"][0]["lineage"] if n["trunk"]]
    first, last = trunk[-1]["id"], trunk[0]["id"]
    chromium.execute_script(
        f"document.querySelector('[data-ancestor=\"{first}\"]').dispatchEvent(new MouseEvent('click'))"
    )
    read = "return document.getElementById('ancestor').textContent"
    assert first in chromium.execute_script(read)
    before = picture(chromium)
    chromium.execute_script("document.querySelector('#ancestor button').click()")
    web.wait(chromium, f"return datamask.state.view.snapshot(160) !== {json.dumps(before)}", "the ancestor")
    # Who stands in the view is who is named beside it.
    beside = (
        "return [document.getElementById('mask-name').textContent, document.getElementById('mask-facts')"
        ".textContent, document.getElementById('viewer').getAttribute('aria-label')]"
    )
    name, words, spoken = chromium.execute_script(beside)
    assert name == first
    assert f"{trunk[-1]['fitness']:+.2f}".replace("-", "−") + " on its own generation’s views" in words
    assert "noise" in words
    assert spoken.startswith(f"Mask {first}, ")
    assert "noise" in spoken
    chromium.execute_script("document.getElementById('surface').dispatchEvent(new Event('change'))")
    name, words, spoken = chromium.execute_script(beside)
    assert name == last
    assert words.startswith("fitness ")
    assert spoken.startswith(f"Mask {last}, island ")
    chromium.execute_script(f"document.querySelector('[data-ancestor=\"{last}\"]').focus()")
    chromium.switch_to.active_element.send_keys("\n")
    assert "the mask itself" in chromium.execute_script(read)


def test_rates_stand_in_a_matrix_and_a_cell_tells_its_interval(chromium, web, shown, tmp_path):
    facts = with_shapes(Chronicle(shown.record).plan(), shown.record.store, {})
    rates = {("noise", "yunet"): (1, 20), (facts["masks"][0]["id"], "yunet"): (19, 20)}
    rates |= {("noise", "dlib-hog"): (0, 20), (facts["masks"][0]["id"], "dlib-hog"): (20, 20)}
    rows = [
        {
            **{"subject": who, "kind": "noise" if who == "noise" else "elite", "machine": machine},
            **{"side": "critic" if machine == "yunet" else "fitted", "what": "detect"},
            "rate": asdict(wilson_rate(*counts)),
        }
        for (who, machine), counts in rates.items()
    ]
    facts["verification"] = {"views": 20, "question": "itself", "rows": rows}
    where = tmp_path / "verified.html"
    where.write_bytes(page(facts))
    visit(chromium, web, where.as_uri())
    heads, cells = chromium.execute_script(
        "const m = document.querySelector('#verification .matrix');"
        "return [[...m.querySelectorAll('thead th')].map((h) => h.textContent),"
        "[...m.querySelectorAll('button')].map((b) => [b.textContent, b.className])]"
    )
    assert heads[2:] == ["dlib-hog", "yunet"]
    assert "bred" in heads[0]
    assert "no part" in heads[1]
    assert cells == [
        *(["100%", "rate rate10"], ["95%", "rate rate10"]),
        *(["0%", "rate rate0"], ["5%", "rate rate1"]),
    ]
    told = "return document.querySelector('#verification .detail').textContent"
    chromium.execute_script("document.querySelectorAll('#verification button')[0].focus()")
    key = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
    chromium.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", **key})
    assert "yunet sees a face in 19 of 20" in chromium.execute_script(told)
    assert "95% (76% to 99%)" in chromium.execute_script(told)


def test_several_people_are_named_in_words(chromium, web, shown, tmp_path):
    facts = with_shapes(Chronicle(shown.record).plan(), shown.record.store, {})
    facts["asked"]["aim"] = "several"
    people = {"subject": ["Ada", "Bo"], "granted_by": "Di", "purpose": "a mask", "covers": ["evolve"]}
    facts["manifest"]["consent"] = people
    where = tmp_path / "several.html"
    where.write_bytes(page(facts))
    visit(chromium, web, where.as_uri())
    read = "return ['aim', 'consent'].map((i) => document.getElementById(i).textContent)"
    aim, consent = chromium.execute_script(read)
    assert aim == "Evolved toward several faces at once"
    assert "Whose face: Ada and Bo. Granted by: Di. For: a mask." in consent


def test_how_sure_goes_by_the_thresholds_that_the_run_states(chromium, web, shown, tmp_path):
    facts = with_shapes(Chronicle(shown.record).plan(), shown.record.store, {})
    facts["manifest"]["objectives"][1]["threshold"] = 0.75
    where = tmp_path / "stated.html"
    where.write_bytes(page(facts))
    visit(chromium, web, where.as_uri())
    told = chromium.execute_script("return document.getElementById('sure-words').textContent")
    assert "dlib-mmod: 0.75 (stated for this run; published: 0, " in told
    assert "dlib-hog: 0 (" in told


def test_every_file_has_a_word_of_what_it_is(chromium, web, shown):
    visit(chromium, web, address(shown))
    silent = chromium.execute_script(
        "return [...document.querySelectorAll('#downloads li')]"
        ".filter((li) => !li.querySelector('.quiet').textContent).map((li) => li.textContent)"
    )
    assert silent == []
    assert chromium.execute_script("return document.getElementById('film-video').poster.slice(0, 16)") == (
        "data:image/webp;"
    )


def test_a_gaze_map_and_other_surfaces_can_be_put_on(chromium, web, shown):
    visit(chromium, web, address(shown))
    kinds = chromium.execute_script(
        "return [...document.getElementById('surface').options].map((o) => o.value)"
    )
    assert kinds == ["nylon", "plaster", "mirror", "gaze:dlib-hog"]
    redness = """
        const s = document.getElementById('surface');
        s.value = arguments[0]; s.dispatchEvent(new Event('change'));
        datamask.state.view.snapshot(8);
        const page = document.createElement('canvas'); page.width = page.height = 32;
        const pen = page.getContext('2d'); pen.drawImage(document.getElementById('viewer'), 0, 0, 32, 32);
        const [r, g, b] = pen.getImageData(16, 16, 1, 1).data; return r - g;
    """
    assert chromium.execute_script(redness, "gaze:dlib-hog") > 60
    words = "return document.getElementById('legend').textContent"
    assert chromium.execute_script(words).startswith("Where dlib-hog looks")
    assert abs(chromium.execute_script(redness, "plaster")) < 40
    assert not chromium.execute_script(words)


def test_what_the_machine_received_is_the_very_pixels(chromium, web, shown):
    visit(chromium, web, address(shown))
    size = chromium.execute_script(
        "const i = document.querySelector('.seen img');"
        "return [i.naturalWidth, i.naturalHeight, i.src.slice(0, 15)]"
    )
    assert size == [160, 160, "data:image/png;"]
    meters = chromium.execute_script(
        "return [...document.querySelectorAll('.seen')].map((s) => s.querySelectorAll('.meter').length)"
    )
    assert meters == [2, 2, 2]


def test_the_way_from_noise_is_drawn_and_the_film_plays(chromium, web, shown):
    visit(chromium, web, address(shown))
    after = picture(chromium)
    chromium.execute_script(
        "const m = document.getElementById('moment'); m.value = 0; m.dispatchEvent(new Event('input'))"
    )
    web.wait(chromium, f"return datamask.state.view.snapshot(160) !== {json.dumps(after)}", "noise")
    assert "generation 0" in chromium.execute_script(
        "return document.getElementById('moment-name').textContent"
    )
    web.wait(chromium, "return document.getElementById('film-video').readyState >= 1", "the film's index")
    length, width = chromium.execute_script(
        "const v = document.getElementById('film-video'); return [v.duration, v.videoWidth]"
    )
    assert length > 1
    assert width == 96


def test_a_hostile_run_shows_as_text(chromium, web, runs, tmp_path):
    grown = runs.grow(tmp_path / "run")
    facts = with_shapes(Chronicle(grown.record).plan(), grown.record.store, {})
    facts["run"] = facts["name"] = HOSTILE
    facts["manifest"]["consent"] = {
        "subject": HOSTILE,
        "granted_by": HOSTILE,
        "purpose": HOSTILE,
        "covers": [HOSTILE],
    }
    facts["versions"] = {HOSTILE: HOSTILE}
    facts["files"] = [f"javascript:{HOSTILE}.png", f"{HOSTILE}.png"]
    facts["masks"][0]["id"] = HOSTILE
    facts["masks"][0]["gaze"] = {HOSTILE: ""}
    facts["manifest"]["models"] = {
        HOSTILE: {"licence": HOSTILE, "training_data": HOSTILE, "roles": [HOSTILE]}
    }
    rate = {"share": 0.5, "low": 0.3, "high": 0.7}
    facts["verification"] = {
        "views": 8,
        "note": HOSTILE,
        "warnings": [HOSTILE],
        "calibration": {HOSTILE: {"pairs": HOSTILE, "cuts": [{"name": HOSTILE, "threshold": 0.5}]}},
        "rows": [
            {"subject": HOSTILE, "kind": "elite", "machine": HOSTILE, "side": HOSTILE, "what": "match"}
            | {"matches": [{"name": HOSTILE, "rate": rate}]}
        ],
    }
    half = {**asdict(wilson_rate(1, 2)), "more": {"share": 0.5, "low": 0.3, "high": 0.7}}
    row = {"machine": HOSTILE, "side": HOSTILE, "what": HOSTILE, "threshold": HOSTILE}
    facts["controls"] = {"by": HOSTILE, "elite": HOSTILE, "subjects": {"noise": HOSTILE}, "question": HOSTILE}
    facts["controls"]["rows"] = [{**row, "elite": half, "noise": half}]
    where = tmp_path / "hostile.html"
    where.write_bytes(page(facts))
    visit(chromium, web, where.as_uri())
    assert chromium.execute_script("return window.stolen") is None
    assert HOSTILE in chromium.execute_script("return document.title")
    assert (
        chromium.execute_script(
            "return document.querySelectorAll('img[onerror], a[href^=javascript]').length"
        )
        == 0
    )
    for name in ("consent", "models", "mask-name", "downloads", "sure-words", "verification", "against"):
        assert HOSTILE in chromium.execute_script(f"return document.getElementById('{name}').textContent")
    assert web.requests(chromium) == [where.as_uri()]


def test_a_page_of_eight_islands_and_two_hundred_generations_stays_small(chromium, web, runs, tmp_path):
    grown = runs.grow(tmp_path / "run", islands=8, generations=200, population=4, elites=16)
    data = page(with_shapes(Chronicle(grown.record).plan(), grown.record.store, {}))
    where = tmp_path / "large.html"
    where.write_bytes(data)
    # Pictures and a film add at most: 3 MB of film, a third of a megabyte for each of twelve masks, 1 MB of
    # ancestors.
    assert len(data) < 15e6 - 4e6 - 12 * 0.35e6 - 1e6
    visit(chromium, web, where.as_uri())
    assert chromium.execute_script("return datamask.state.plots[0].data.length") == 9
    assert not web.complaints(chromium)


def test_a_run_without_masks_says_so(chromium, web, runs, tmp_path):
    grown = runs.grow(tmp_path / "run", until=0)
    where = tmp_path / "young.html"
    where.write_bytes(page(with_shapes(Chronicle(grown.record).plan(), grown.record.store, {})))
    visit(chromium, web, where.as_uri())
    assert "first checkpoint" in chromium.execute_script("return document.querySelector('main').innerText")
    assert not web.complaints(chromium)


def test_a_watched_page_grows_where_the_reader_is(chromium, web, runs, tmp_path):
    grown = runs.grow(tmp_path / "run", generations=10, until=5)
    server = serve(grown.record, "127.0.0.1", 0, None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        visit(chromium, web, server.url)
        assert "generation 5 of 10" in chromium.execute_script(
            "return document.getElementById('state').textContent"
        )
        second = grown.elites[1].id
        chromium.execute_script(
            f"document.querySelector('[data-mask=\"{second}\"]').click();"
            "window.scrollTo({top: 900, behavior: 'instant'})"
        )
        grown.record.take_over()
        grown.record.commit(0, {}, {}, done=True)
        grown.record.close()
        text = "document.getElementById('state').textContent"
        web.wait(chromium, f"return datamask.refreshed > 0 && !{text}.includes('Still')", "newer facts")
        state, name, top = chromium.execute_script(
            "return [document.getElementById('state').textContent,"
            "document.getElementById('mask-name').textContent, window.scrollY]"
        )
        assert "Still growing" not in state
        assert name == second
        assert top == 900
        assert not web.complaints(chromium)
        assert {url for url in web.requests(chromium) if not url.startswith(server.url)} == set()
    finally:
        server.shutdown()
        server.server_close()


def test_a_watched_page_goes_on_when_its_server_answers_again(chromium, web, runs, tmp_path):
    grown = runs.grow(tmp_path / "run", generations=10, until=5)
    text, port = "document.getElementById('state').textContent", 0
    for _ in range(2):  # the same record: the second server has nothing new to tell
        server = serve(grown.record, "127.0.0.1", port, None)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            if not port:
                port = server.server_address[1]
                visit(chromium, web, server.url)
                web.wait(chromium, "return datamask.refreshed > 0", "the first answer")
            web.wait(chromium, f"return {text}.startsWith('Still growing: generation 5')", "the state")
        finally:
            server.shutdown()
            server.server_close()
        web.wait(chromium, f"return {text}.includes('does not answer')", "silence")
    assert chromium.execute_script("return datamask.refreshed") == 1


def test_the_archive_is_a_heat_map_that_keys_reach(chromium, web, runs, tmp_path):
    grown = runs.grow(tmp_path / "kinds", population=8, archive={"on": True})
    plan = Chronicle(grown.record).plan()
    facts, archive = with_shapes(plan, grown.record.store, {}), plan.facts["archive"]
    shown = len(archive["masks"])
    facts["archive"]["filled_in_sight"] = shown + 7
    grown.record.store.put("report.html", page(facts))
    visit(chromium, web, address(grown), "phone")
    lead = chromium.execute_script("return document.getElementById('archive-lead').textContent")
    assert f"; shown are the {shown} best of {shown + 7}. QD score" in lead
    cells = chromium.execute_script(
        "return [...document.querySelectorAll('#kinds button')]"
        ".map((b) => [b.dataset.kind, b.classList.contains('accepted')])"
    )
    assert sorted(map(tuple, cells)) == sorted((m["id"], m["accepted"]) for m in archive["masks"])
    chromium.find_element("css selector", "#kinds button").send_keys("\n")
    told = chromium.execute_script("return document.getElementById('kind').textContent")
    assert cells[0][0] in told
    assert "abstraction" in told
    assert not web.complaints(chromium)


def test_the_front_is_a_plot_whose_dots_keys_reach(chromium, web, runs, tmp_path):
    more = {"pareto": {"aims": ["fitness", "abstraction"]}, "search": {"optimizers": ["nsga2"]}}
    grown = runs.grow(tmp_path / "front", population=8, **more)
    plan = Chronicle(grown.record).plan()
    grown.record.store.put("report.html", page(with_shapes(plan, grown.record.store, {})))
    visit(chromium, web, address(grown), "phone")
    front = plan.facts["front"]
    dots = chromium.execute_script(
        "return [...document.querySelectorAll('#front-plot .dot')]"
        ".map((d) => [d.dataset.mask, Number(d.getAttribute('cx')), Number(d.getAttribute('cy'))])"
    )
    assert [name for name, _, _ in dots] == [m["id"] for m in front["masks"]]
    # Farther from the head to the right, less fit further down.
    assert [x for _, x, _ in dots] == sorted(x for _, x, _ in dots)
    assert [y for _, _, y in dots] == sorted(y for _, _, y in dots)
    chromium.find_element("css selector", "#front-plot .dot").send_keys("\n")
    told = chromium.execute_script("return document.getElementById('front-mask').textContent")
    assert dots[0][0] in told
    assert "abstraction" in told
    assert not web.complaints(chromium)
