"""A page as one HTML file: a template, a style sheet, a script; no other file, no network.

Three fences keep what a model wrote from acting: jinja2 escapes every value, `visible` spells out
every character that does not show itself, and the page's own policy lets only its one script run.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from asymreinforce.report.figures.files import css_variables
from asymreinforce.untrusted import visible

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "scales.js", "lines.js", "pointer.js", "curves.js")
"""In the order of the page: the last one draws at once, with what the others define."""
THEME_GOES_HERE = "/* theme */"


def fill_template(template: str | Path, **values: Any) -> str:
    """Return a page: a template that extends `base.html.jinja`, with its values filled in.

    A template is named if it lies beside this file, else given by its path.

    Plain strings are made visible and escaped; only `Markup` goes in as it is. The variables of the
    colours that the page turned out to use are added last.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE, Path(template).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_make_visible,
    )
    script = "".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    page = environment.get_template(Path(template).name).render(
        **values,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        theme=Markup(THEME_GOES_HERE),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.replace(THEME_GOES_HERE, css_variables(page), 1)


def _make_visible(value: Any) -> Any:
    """Make every plain string of the page visible; markup of this package's own is left alone."""
    return visible(value) if type(value) is str else value
