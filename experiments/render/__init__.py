"""Tables, figures and pages from numbers; nothing is measured here.

Read in this order: tables.py, svg.py and charts.py (vector figures), figures.py (matplotlib),
document.py (a page as data), html_page.py and markdown_page.py (its two forms), console.py
(screen and progress).
"""
