"""The site: `make site` builds it from the pages beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

import symflow

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "symflow"
author = "the symflow authors"
version = release = symflow.__version__
extensions = ["myst_parser", "block_names", "function_pages", "operation_pages", "command_pages", "pictures"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = "symflow"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
highlight_language = "text"
pygments_style = "friendly"
pygments_dark_style = "github-dark"
