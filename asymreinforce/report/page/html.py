"""Fill a template into one HTML file with its style and script, without any network access.

Three safeguards keep text written by a model from acting in the page: jinja2 escapes every value,
`visible` spells out every invisible character, and the page's content security policy runs only the
page's script.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from asymreinforce.report.figures.files import css_variables
from asymreinforce.untrusted import visible

HERE = Path(__file__).parent
# curves.js comes last: it draws at once, with functions that the other files define
SCRIPTS = ("page.js", "scales.js", "lines.js", "pointer.js", "curves.js")
"""The files of the page's script, in their order."""
THEME_GOES_HERE = "/* theme */"


def fill_template(template: str | Path, **values: Any) -> str:
    """Return a page: fill the values into a template that extends `base.html.jinja`.

    `template` is the name of a file in this folder, or a path. Plain strings are made visible and
    escaped; only `Markup` is inserted unchanged.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE, Path(template).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a missing value is an error, not an empty text
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
        # the content security policy allows only the script with this hash
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    # last, since only the finished page shows which colours it uses
    return page.replace(THEME_GOES_HERE, css_variables(page), 1)


def _make_visible(value: Any) -> Any:
    """Make plain strings visible, and leave every other value unchanged."""
    # `type` and not isinstance: Markup is a str too, and comes from this package
    return visible(value) if type(value) is str else value
