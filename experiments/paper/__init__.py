"""The paper's numbers as data, as printed: tables.py by table, grids.py by depth and precision."""
