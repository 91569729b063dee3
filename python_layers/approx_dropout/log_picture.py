"""Curves of Caffe's logs; needs matplotlib."""

import math

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        f"a picture needs matplotlib ({error}): install it, or the package "
        f"with its extra, approx-dropout[pictures]"
    ) from error

COLOURS = matplotlib.colormaps["tab10"].colors
STYLES = ("-", "--", ":", "-.")
PANEL_INCHES = (6, 3.2)


def panels(rows):
    """{title: columns drawn in it}: the solver's loss, which is smoothed and
    weighted; each output's, of all nets; the learning rate."""
    found = {"training loss": ["loss"]}
    for name in dict.fromkeys(name for row in rows for name in row):
        if " " in name:
            found.setdefault(name.split(" ", 1)[1], []).append(name)
    found["learning rate"] = ["learning_rate"]
    logged = set().union(*rows)
    return {title: names for title, names in found.items() if logged & {*names}}


def _draw_panel(axes, runs, names, title):
    """The curves of these columns: a colour for each run, a style for each
    column; a single run has a colour for each column."""
    for i, (run, rows) in enumerate(runs):
        for j, name in enumerate(names):
            points = [
                (row["iteration"], row[name])
                for row in rows
                if math.isfinite(row.get(name, math.nan))
            ]
            if not points:
                continue
            label = [run] if len(runs) > 1 else []
            if len(names) > 1 or not label:
                label.append(name if " " in name else title)
            axes.plot(
                *zip(*points),
                linestyle=STYLES[j % len(STYLES)],
                marker="." if len(points) < 30 else None,
                color=COLOURS[(i if len(runs) > 1 else j) % len(COLOURS)],
                label=" ".join(label),
            )
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")


def draw(files, path):
    """Draws the logs of the files, a panel for each quantity, into `path`."""
    runs = [(file.path, file.log.rows()) for file in files]
    shown = panels([row for _, rows in runs for row in rows])
    width, height = PANEL_INCHES
    figure = Figure((width, height * len(shown)), layout="constrained")
    all_axes = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, (title, names) in zip(all_axes, shown.items()):
        _draw_panel(axes, runs, names, title)
    all_axes[-1].set_xlabel("iteration")
    figure.savefig(path, dpi=150)
