"""The figure of a data audit: every shortcut with its interval, chance, the paper's accuracies. PNG, SVG and CSV."""

from __future__ import annotations

from pathlib import Path

from unspoken.figures import MARKERS, PALETTE, write_figure
from unspoken.shortcuts.audit import Audit, render_audit
from unspoken.shortcuts.findings import Group

_GAP = 1.4
"""From a group's last row to the next heading, in rows."""

_SHOWN = ("CoT", "No-CoT", "Coconut")
"""The paper's methods that get a line; all of them are in the CSV."""


def audit_figure(audit: Audit, path: Path) -> list[Path]:
    """Draws an audit and writes its figures beside it; returns the files written (`.png`, `.svg`, `.csv`).

    A filled mark is further from chance than luck explains, all shortcuts considered; an open one is not. The grey band
    is where the best of all shortcuts lies in 95 of 100 fair sets.
    """
    from matplotlib.figure import Figure  # here, because matplotlib takes a second to import

    groups = [group for group in Group if any(row.group is group for row in audit.rows)]
    # Named from the top: a heading's line for each group, then its rows.
    height = len(audit.rows) + _GAP * len(groups)
    figure = Figure(figsize=(8.4, 0.2 * height + 1.7), layout="constrained")
    axis = figure.subplots()
    y = 0.0
    ticks: list[tuple[float, str]] = []
    for color, mark, group in zip(PALETTE, MARKERS, groups, strict=False):
        axis.annotate(
            group.value, (0, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8, fontweight="bold", color=color, zorder=4, bbox={"color": "white", "pad": 1},
        )  # fmt: skip
        for row in [row for row in audit.rows if row.group is group]:
            y += 1
            beyond = row.chance is None or row.beyond_luck(audit.tests)
            ends = [[100 * (row.accuracy - row.low)], [100 * (row.high - row.accuracy)]]
            axis.errorbar(
                100 * row.accuracy, y, xerr=ends, color=color, marker=mark, markersize=5, capsize=2, linewidth=1.2,
                fillstyle="full" if beyond else "none", zorder=3,
            )  # fmt: skip
            ticks.append((y, row.name))
        y += _GAP
    if (chance := audit.chance) is not None:
        luck = audit.luck(chance)
        least = 2 * chance - luck if chance == 0.5 else chance
        axis.axvspan(100 * least, 100 * luck, color="#999999", alpha=0.2, linewidth=0)
        axis.axvline(100 * chance, color="black", linewidth=1, linestyle="--")
    shown = sorted((accuracy, name) for name, accuracy in audit.references if name in _SHOWN)
    for i, (accuracy, name) in enumerate(shown):
        axis.axvline(accuracy, color="#555555", linewidth=1, linestyle=":")
        axis.annotate(
            f"{name} {accuracy} ", (accuracy, 1), xycoords=("data", "axes fraction"), xytext=(0, 2 + 10 * i),
            textcoords="offset points", ha="right", va="bottom", fontsize=8, color="#555555",
        )  # fmt: skip
    axis.set_yticks([place for place, _ in ticks], [name for _, name in ticks], fontsize=8)
    axis.set_ylim(y - _GAP + 0.8, -0.8)
    highest = max(max(row.high for row in audit.rows), *(accuracy / 100 for _, accuracy in audit.references), 0.0)
    axis.set_xlim(0, 101.5 if highest > 0.5 else 110 * highest)
    axis.set_xlabel("right, % (95 % interval)" + _legend(audit), fontsize=8)
    axis.set_title(f"{audit.title}: {audit.num:,} problems", fontsize=10, loc="left", pad=8 + 10 * len(shown))
    axis.grid(axis="x", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    written = [*write_figure(figure, path, dpi=160), path.with_suffix(".csv")]
    written[-1].write_text(render_audit(audit, "csv"))
    return written


def _legend(audit: Audit) -> str:
    lines = ""
    if audit.tests:
        lines += "\ndashed: chance; grey: luck of the best of them; open mark: luck may explain it"
    if audit.references:
        lines += "\ndotted: the paper's models, on its own test set"
    return lines
