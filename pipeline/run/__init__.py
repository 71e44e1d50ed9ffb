"""What a run is: its layout, its plan, its works, and what each of its results depends on."""
