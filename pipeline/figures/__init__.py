"""Everything that is drawn: charts, panels of slices, renders in 3D, the report."""
