"""What a person meets who uses the keyboard alone: each stop of the focus, and what is wrong with it."""

from __future__ import annotations

from playwright.sync_api import Page

# What has the focus, and how it shows. An order of its own (tabindex above 0) is a fault by itself.
STOP = """() => {
  const on = document.activeElement;
  if (!on || on === document.body || on === document.documentElement) return null;
  const style = getComputedStyle(on);
  const drawn = [on, on.nextElementSibling].filter(Boolean).some((one) => {
    const s = getComputedStyle(one), before = getComputedStyle(one, '::before');
    return (s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== 'none'
      || before.boxShadow !== 'none' || (before.outlineStyle !== 'none' && parseFloat(before.outlineWidth) > 0);
  });
  const box = on.getClientRects()[0] || on.getBoundingClientRect();
  const label = on.labels?.[0];
  const at = document.elementFromPoint(box.x + box.width / 2, box.y + Math.min(box.height / 2, innerHeight / 2));
  const shown = box.width > 0 && box.bottom > 0 && box.top < innerHeight && at
    && (at === on || on.contains(at) || at.contains(on) || (label && (label === at || label.contains(at))));
  const every = [...document.querySelectorAll('*')];
  return {
    name: (on.getAttribute('aria-label') || label?.textContent || on.textContent || on.name || on.tagName).trim()
      .replace(/\\s+/g, ' ').slice(0, 60),
    place: every.indexOf(on), drawn, shown: Boolean(shown), tabindex: on.tabIndex, id: on.id,
    href: on.getAttribute('href') || '', tag: on.tagName.toLowerCase(), type: on.type || '',
  };
}"""

# What a pointer can reach on the page, as places in it; of radio buttons with one name the keyboard stops at one.
REACHABLE = """() => {
  const every = [...document.querySelectorAll('*')], names = new Set();
  return every.map((one, place) => [one, place]).filter(([one]) => {
    if (!one.matches('a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'))
      return false;
    if (one.disabled || one.closest('[hidden], dialog:not([open])') || !one.checkVisibility({visibilityProperty: true}))
      return false;
    if (one.type !== 'radio') return true;
    return names.has(one.name) ? false : Boolean(names.add(one.name));
  }).map(([, place]) => place);
}"""


FROM_THE_TOP = """() => {
  document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); scrollTo(0, 0);
}"""


def stop(page: Page) -> dict | None:
    """What has the focus; None when nothing has."""
    return page.evaluate(STOP)


def faults(at: dict, where: str) -> list[str]:
    found = []
    if not at["drawn"]:
        found.append(f"{where}: the focus on {at['name']!r} cannot be seen")
    if not at["shown"]:
        found.append(f"{where}: {at['name']!r} has the focus out of sight")
    if at["tabindex"] > 0:
        found.append(f"{where}: {at['name']!r} has an order of its own")
    return found


def walk(page: Page, where: str, most: int = 250) -> list[str]:
    """Tab through the whole page, once: what is wrong with its stops, their order, or what is never reached."""
    found: list[str] = []
    visited: list[int] = []
    page.evaluate(FROM_THE_TOP)
    for _ in range(most):
        page.keyboard.press("Tab")
        at = stop(page)
        if at is None or (visited and at["place"] == visited[0]):
            break
        if visited and at["place"] <= visited[-1]:
            found.append(f"{where}: {at['name']!r} comes after what stands behind it")
        visited.append(at["place"])
        found += faults(at, where)
    else:
        found.append(f"{where}: no end after {most} stops")
    missed = set(page.evaluate(REACHABLE)) - set(visited)
    if missed:
        names = page.evaluate(
            "places => places.map(p => document.querySelectorAll('*')[p].outerHTML.slice(0, 90))", sorted(missed)[:3]
        )
        found.append(f"{where}: not reached: {names}")
    return found


def tab_to(page: Page, *, name: str = "", id: str = "", href: str = "", most: int = 120) -> dict:
    """Press Tab until the focus is on what is meant."""
    for _ in range(most):
        page.keyboard.press("Tab")
        at = stop(page)
        if at and at["name"].startswith(name) and at["id"].startswith(id) and href in at["href"]:
            return at
    raise AssertionError(f"not reached by Tab: {name or id or href} on {page.url}")


def enter(page: Page) -> None:
    """Press Enter on what leads to another page, and wait for it."""
    with page.expect_navigation():
        page.keyboard.press("Enter")
    page.wait_for_load_state()
