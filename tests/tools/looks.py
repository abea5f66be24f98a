"""What a page looks like in a browser: what complains, is cut off, or can hardly be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from browser import Browser

_PHONE: Final = 390
_DESK: Final = 1280
_PAPER: Final = 717
"""Widths in CSS pixels: of a phone, of a desk's screen, between the margins of A4."""

_TOO_WIDE: Final = """
(() => {
  const width = document.documentElement.clientWidth, found = [];
  if (document.documentElement.scrollWidth > width) found.push(`the page: ${document.documentElement.scrollWidth} px`);
  const scrolls = (e) => e && (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX) ||
    scrolls(e.parentElement));
  for (const e of document.body.querySelectorAll("*"))
    if (!(e instanceof SVGElement) && e.getBoundingClientRect().right > width + 1 && !scrolls(e.parentElement))
      found.push(`${e.tagName}.${e.className}: ${e.textContent.slice(0, 40)}`);
  for (const e of document.body.querySelectorAll("*"))
    if (scrolls(e) && !scrolls(e.parentElement) && e.scrollWidth > e.clientWidth + 1 && MUST_NOT_SCROLL(e))
      found.push(`${e.tagName}.${e.className} hides ${e.scrollWidth - e.clientWidth} px`);
  return found;
})()
"""
"""What is wider than the window, and what scrolls though it must not."""
_NO_TABLE: Final = "!e.matches('table') && !e.querySelector(':scope > table')"

_FAINT: Final = """
(() => {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = context.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((n) => top[n] * top[3] + under[n] * (1 - top[3]));
  const light = (color) => {
    const [r, g, b] = color.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [light(a), light(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const probe = document.body.appendChild(document.createElement("div"));
  probe.style.background = "Canvas";
  const canvas = rgba(getComputedStyle(probe).backgroundColor);
  probe.remove();
  const behind = (e) => e ? over(rgba(getComputedStyle(e).backgroundColor), behind(e.parentElement)) : canvas;
  const opacity = (e) => e ? getComputedStyle(e).opacity * opacity(e.parentElement) : 1;
  const found = [];
  const check = (e, color, least, what) => {
    const under = behind(e), top = rgba(color);
    const ratio = contrast(over([...top.slice(0, 3), top[3] * opacity(e)], under), under);
    if (ratio < least) found.push(`${ratio.toFixed(2)} < ${least}: ${what}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement, text = texts.currentNode.textContent.trim(), style = getComputedStyle(e);
    if (!text || !e.checkVisibility({ visibilityProperty: true }) || ["SCRIPT", "STYLE", "title"].includes(e.tagName))
      continue;
    const large = parseFloat(style.fontSize) >= (style.fontWeight >= 700 ? 18.66 : 24);
    check(e, e instanceof SVGElement ? style.fill : style.color, large ? 3 : 4.5, `${e.tagName} ${text.slice(0, 40)}`);
  }
  for (const line of document.querySelectorAll(CURVES)) check(line, getComputedStyle(line).stroke, 3, "a curve");
  return [...new Set(found)];
})()
"""
"""Text and curves with less contrast than WCAG 2 wants, level AA."""

_CURVES: Final = ".chart path[style*='fill: none'][style*='--c']:not([style*='opacity'])"
_ALIKE: Final = """
[...document.querySelectorAll(".chart")].filter((chart) => {
  const dashes = [...chart.querySelectorAll(CURVES)].map((line) => getComputedStyle(line).strokeDasharray);
  const keys = [...chart.querySelectorAll(".key")].map((key) => getComputedStyle(key).backgroundImage
    .replaceAll(/rgba?\\([1-9].*?\\)/g, "colour"));
  return new Set(dashes).size < dashes.length || new Set(keys).size < keys.length;
}).map((chart) => chart.querySelector("b").textContent)
"""
"""Charts in which only the colour tells two curves apart, or their keys."""


def problems(browser: Browser, page: Path) -> list[str]:
    """Return what is wrong with a page: on a phone and a screen, in light and dark, and on paper."""
    return [*_on_screens(browser, page), *_on_paper(browser, page)]


def _on_screens(browser: Browser, page: Path) -> Iterator[str]:
    for width in (_PHONE, _DESK):
        for scheme in ("light", "dark"):
            browser.open(page, width, "light" if scheme == "light" else "dark")
            where = f"{width} px, {scheme}: "
            yield from (where + text for text in browser.run(_script(_TOO_WIDE, _NO_TABLE)))
            yield from (f"{where}contrast {text}" for text in browser.run(_script(_FAINT)))
            yield from (f"{where}alike without colour: {text}" for text in browser.run(_script(_ALIKE)))
            yield from (where + text for text in browser.complaints())
            if browser.requests() != [page.resolve().as_uri()]:
                yield f"{where}asks for {browser.requests()}"


def _on_paper(browser: Browser, page: Path) -> Iterator[str]:
    browser.open(page, _PAPER, "dark", "print")
    yield from (f"in print: {text}" for text in browser.run(_script(_TOO_WIDE, "true")))
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    if background not in ("rgb(255, 255, 255)", "rgba(0, 0, 0, 0)"):
        yield f"in print: the paper is {background}"
    height = browser.run("document.documentElement.scrollHeight")
    pages = len(re.findall(rb"/Type\s*/Page\b", browser.pdf()))
    if pages < height / 1400:
        yield f"in print: {pages} pages of {height} px"


def _script(script: str, must_not_scroll: str = "") -> str:
    return script.replace("MUST_NOT_SCROLL(e)", f"({must_not_scroll})").replace("CURVES", f'"{_CURVES}"')
