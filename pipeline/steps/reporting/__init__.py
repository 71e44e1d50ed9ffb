"""Gathering what a run's report shows: each module reads one kind of thing that the steps have left."""
