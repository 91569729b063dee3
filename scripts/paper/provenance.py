"""Where, when and of which commit figures were measured, as text."""

import textwrap

WIDTH = 84  # of the documents' lines


def machine(record):
    """Of what a training, a race or a sweep wrote."""
    return f"{record['machine']['cpu']}, {record['machine']['cores']} cores"


def measured(records):
    """Machines, dates and commits, and, where there are several, what was
    measured there: only numbers of one machine compare.

    records: pairs of a label and what a race or a sweep wrote.
    """
    labels = {}
    for label, record in records:
        where = f"{machine(record)}, {record['date'][:10]}"
        place = f"{where}, commit {record['commit']}"
        labels.setdefault(place, {})[label] = None
    if len(labels) == 1:
        return next(iter(labels))
    return "; ".join(
        f"{place} ({' / '.join(names)})" for place, names in labels.items()
    )


def caption(records):
    """A paragraph below a document's table, "" without records."""
    if not records:
        return ""
    text = f"Measured on: {measured(records)}."
    return "\n" + textwrap.fill(text, WIDTH, break_on_hyphens=False) + "\n"
