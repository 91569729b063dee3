"""Tables and curves of runs, and the picture of the method."""
