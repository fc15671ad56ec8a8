"""The page in a real browser: plots are drawn, nothing is wider than a phone, theme and key work."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgeacts.report import build_report
from edgeacts.report.evidence import collect
from edgeacts.report.front import Point, front, points
from edgeacts.report.joining import join
from edgeacts.report.variants import settings_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
    *("--virtual-time-budget=8000", "--window-size=1400,900"),
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"
)

# The browser's own window cannot be narrower than about 500 pixels: a frame of 390 stands for the phone.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0"><script>
addEventListener("message", (event) => {{ document.body.dataset.told = event.data; }});</script>
<iframe src="page.html" style="width:{width}px;height:800px;border:0"></iframe>"""
PROBE = """<script>
const failures = [], seen = [];
addEventListener("error", (event) => failures.push(event.message));
addEventListener("securitypolicyviolation", (event) => failures.push(event.blockedURI));
function frontOf() {
  const trace = document.getElementById("plot-front").data.find((one) => one.meta && one.meta.front);
  return trace.x.map((x, i) => [x, trace.y[i]]);
}
function measure() {
  const plots = [...document.querySelectorAll(".plot")];
  const right = (plot) => plot.querySelector("svg").getBoundingClientRect().right;
  const letters = [...document.querySelectorAll(".plot text")].filter((text) => text.textContent);
  seen.push({
    inner: innerWidth, scroll: document.documentElement.scrollWidth, plots: plots.length,
    drawn: plots.filter((plot) => plot.querySelector("svg.main-svg .xtick")).length,
    wide: plots.filter((plot) => right(plot) > innerWidth).length,
    boxes: document.querySelectorAll("#plot-latency-0 .trace.boxes").length,
    theme: document.documentElement.dataset.theme, paper: getComputedStyle(document.body).backgroundColor,
    clipped: plots.flatMap((plot) => [...plot.querySelectorAll(".xtitle, .ytitle, .xtick text, .ytick text, .legendtext")].filter((text) => {
      const box = text.getBoundingClientRect(), room = plot.getBoundingClientRect();
      return box.left < room.left - 1 || box.right > room.right + 1 || box.bottom > room.bottom + 1 || box.top < room.top - 1;
    }).map((text) => `${plot.id}: ${text.textContent}`)),
    front: frontOf(), matrix: document.querySelector("#matrix-table .heat") ? 1 : 0,
    smallest: Math.min(...letters.map((text) => parseFloat(getComputedStyle(text).fontSize))), failures});
}
const steps = [
  () => { for (const part of document.querySelectorAll("details")) part.open = true; },
  () => document.getElementById("theme").click(),
  () => document.querySelector('.key [data-value="mish"]').click(),
  () => document.querySelector('.filter [data-value="OpenVINO, 1 thread"]').click(),
];
function step() {
  if (!steps.length) return parent.postMessage(JSON.stringify(seen), "*");
  steps.shift()();
  setTimeout(() => { measure(); step(); }, 400);
}
addEventListener("load", () => setTimeout(step, 400));
</script>"""


PLOTS = 27


def look(run: Path, folder: Path, width: int) -> list[dict[str, Any]]:
    """What the browser saw: all tables unfolded, then in the other theme, then with one activation hidden."""
    page = build_report(run, folder / "page.html")
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("<title>", f"{PROBE}<title>", 1), encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", frame.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    told = re.search(r'data-told="([^"]*)"', dom)
    assert told, f"the page said nothing: {dom[:500]}"
    return list(json.loads(html.unescape(told[1])))


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_drawn_and_fits(everything: Path, tmp_path: Path, width: int) -> None:
    first, themed, hidden, filtered = look(everything, tmp_path, width)
    for seen in (first, themed, hidden, filtered):
        assert seen["inner"] == width
        assert seen["scroll"] <= width
        assert (seen["plots"], seen["drawn"], seen["wide"], seen["clipped"]) == (PLOTS, PLOTS, 0, [])
        assert seen["smallest"] >= 12
        assert seen["matrix"] == 1
        assert seen["failures"] == []
    papers = {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 26, 32)"}
    assert {first["theme"], themed["theme"]} == set(papers)
    assert (first["paper"], themed["paper"]) == (papers[first["theme"]], papers[themed["theme"]])
    assert (first["boxes"], themed["boxes"], hidden["boxes"]) == (8, 8, 7)


def test_front_follows_what_is_shown(everything: Path, tmp_path: Path) -> None:
    first, _, hidden, filtered = look(everything, tmp_path, 1280)
    found = points(join(collect([everything])), settings_of(join(collect([everything]))))

    def expected(kept: list[Point]) -> list[list[float]]:
        return [[point.latency_ns / 1e6, point.accuracy] for point in front(kept)]

    without_mish = [point for point in found if point.variant.activation != "mish"]
    assert first["front"] == expected(found)
    assert hidden["front"] == expected(without_mish) != first["front"]
    ort = [point for point in without_mish if point.timing.setting.runtime == "onnxruntime"]
    assert filtered["front"] == expected(ort) != hidden["front"]
