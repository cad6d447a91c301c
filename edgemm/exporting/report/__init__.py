"""The report: one self-contained HTML page about a bundle, drawn with inline CSS and SVG. No network, no scripts, light and dark."""

from edgemm.exporting.report.document import report_html

__all__ = ["report_html"]
