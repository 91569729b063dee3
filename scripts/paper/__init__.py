"""The paper's tables and figures: what is trained and timed, the report."""
