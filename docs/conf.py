"""Settings of the documentation as a website: ``make docs``. The pages are Markdown that also reads well as plain files."""

project = "iscc-lidar"
author = "The iscc-lidar contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "iscc-lidar"
html_show_sphinx = False

myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
