"""Settings of the documentation as a website, ``make docs``. The pages are Markdown that reads well as plain files.

The source folder is the repository's root, so that links between pages are the same there and on a code host.
"""

project = "iscc-lidar"
author = "The iscc-lidar contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "data_schemas/FORMAT.md", "src/iscc_lidar/api/weights/*.md"]
exclude_patterns = ["docs/_build", ".*"]

html_theme = "furo"
html_title = "iscc-lidar"
html_show_sphinx = False

myst_heading_anchors = 4

napoleon_attr_annotations = False  # types of attributes stand in their descriptions
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
