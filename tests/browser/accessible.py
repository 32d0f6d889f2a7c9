"""What axe finds on the page that is open, in both themes."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

# Django's own pages: inline rows begin with an empty head, the search box has a picture as its label, and a chooser's
# script names its hint where no name is expected. The first two break no guideline, the last is beyond our reach.
_OF_DJANGO = ("empty-table-header", "label-title-only")
_EVERYTHING = {"resultTypes": ["violations"], "rules": {name: {"enabled": False} for name in _OF_DJANGO}}
_WITHOUT = {"exclude": [[".help-tooltip"]]}
# Dark differs from light in colours alone.
_COLOURS = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
_LOOK = "async ([where, how]) => (await axe.run(where, how)).violations"


def violations(page: Page) -> list[str]:
    """Each as theme, rule and the first element that breaks it; the page stays light."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")  # or a colour would be seen on its way
    page.evaluate(Axe().axe_script)
    found = []
    for theme, options in (("light", _EVERYTHING), ("dark", _COLOURS)):
        page.emulate_media(color_scheme=theme)
        broken = page.evaluate(_LOOK, [_WITHOUT, options])
        found += [f"{theme} {each['id']}: {each['nodes'][0]['html'][:200]}" for each in broken]
    page.emulate_media(color_scheme="light")
    return found
