"""The report of a study: one HTML file that needs nothing but itself, made of what its steps have left.

`contents` is what there is to show, `page` makes the file of it; the other modules each draw one thing.
"""
