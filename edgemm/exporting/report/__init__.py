"""The report: one self-contained HTML page about a bundle, drawn with inline CSS and SVG. No network, no scripts, light and dark.

Each module says what one section shows; the templates say how. Needs Jinja2, which the `export` extra brings.
"""

from edgemm.exporting.report.document import report_html

__all__ = ["report_html"]
