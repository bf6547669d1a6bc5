"""A picture as one HTML file that needs nothing else."""

from __future__ import annotations

from html import escape

STYLE = """
body { margin: 0; background: #f5f7fa; font-family: DejaVu Sans, Verdana, Helvetica, Arial, sans-serif; }
main { overflow: auto; padding: 16px; text-align: center; }
svg { background: #ffffff; box-shadow: 0 1px 4px #0003; border-radius: 8px; }
g[id]:hover, g.node:hover { filter: drop-shadow(0 0 3px #2563b0); cursor: help; }
g:target { filter: drop-shadow(0 0 6px #2563b0); }
"""


def html_text(svg: str, title: str) -> str:
    """The drawing in a page with a title; tooltips are the SVG's own."""
    drawing = svg[svg.index("<svg") :]
    name = escape(title or "symgraph")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{drawing}</main>\n</body>\n</html>\n"
    )
