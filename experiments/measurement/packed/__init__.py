"""Rows in Parquet: the second form of the rows of a folder, smaller and read faster than JSON.

Read row_groups.py: how a type of row becomes columns, and a group of rows one row of arrays. Which
files a folder has, and what is checked of their rows: measurement/row_files.py. The program that
packs: experiments/pack. row_groups.py needs extra [parquet], and is imported only where a file is
packed.
"""
