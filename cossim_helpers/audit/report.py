"""What the audit says: at most 15 lines of text, JSON, or one page with pictures."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape

import numpy as np

from .compare import Comparison
from .embeddings import EmbeddingAudit
from .gauges import PARTS, WIDE, Stability


def audit_lines(audit: EmbeddingAudit) -> list[str]:
    """The report: at most 15 lines, the last one the advice."""
    f, hubs = audit.facts, audit.hubs
    lengths = f"{f.shortest:.3g} to {f.longest:.3g}, spread {f.length_spread:.2f}"
    cosines = ", ".join(f"{round(mean, 2) + 0.0:.2f} of the first {rows:,}" for rows, mean in f.mean_cosine[:-1])
    constant = f.constant_dimensions - f.dead_dimensions
    each = -(-audit.n_queries // PARTS)
    lines = [
        f"{audit.n:,} vectors of {audit.dim} numbers ({audit.dtype}); {audit.k} neighbors of {audit.n_queries:,} "
        "of them",
        f"faults: {f.zero_rows:,} zero rows, {f.duplicate_rows:,} copies, {f.dead_dimensions} dead and {constant} "
        "other constant dimensions",
        "lengths: " + ("all 1" if f.unit_length else lengths),
        f"mean cosine: {round(f.mean_cosine[-1][1], 2) + 0.0:.2f} of all" + (f", {cosines}" if cosines else ""),
        f"shares: dimension {f.dimension} {f.dimension_share:.0%}, best direction {f.direction_share:.0%}; "
        f"effective rank {f.effective_rank:.0f}, by entropy {f.entropy_rank:.0f}",
        f"hubs, among {hubs.n_rows:,}: skewness {hubs.skewness:.1f}, most frequent {hubs.largest}, {hubs.orphans:.0%} "
        "nobody's",
        f"of {audit.k} neighbors stay (± 95%; noise of the same spectrum; among the first {WIDE * audit.k}), each of "
        f"{audit.n_draws} draws on {each:,} queries:",
        *_pairs(audit.stability),
    ]
    if audit.balance_defect is not None:
        free = "" if audit.free_directions is None else f"; {audit.free_directions} free directions move the cosine"
        noise = f"(turned at random {audit.balance_of_noise:.3f})"
        lines.append(f"balance defect of the two sides: {audit.balance_defect:.3f} {noise}{free}")
    if audit.comparison is not None:
        lines += comparison_lines(audit.comparison)[1:2]
    return [*lines, f"{audit.verdict.upper()}: {audit.advice} ({audit.chapter})"]


def _pairs(stability: tuple[Stability, ...]) -> list[str]:
    shown = {entry.name: entry for entry in stability}
    groups = (
        ("dot product", "distance"),
        ("centered", "standardized"),
        ("whitened", "without the first direction"),
        ("a D in the coordinates", "a G: D in a random basis"),
    )
    return ["  " + "; ".join(_words(shown[name]) for name in names) for names in groups]


def _words(entry: Stability) -> str:
    return f"{entry.name} {entry.overlap:.2f} {_within(entry.error)} ({entry.null:.2f}; {entry.within_wide:.2f})"


def _within(error: float, digits: int = 2) -> str:
    """Half an interval; one query has none."""
    return f"± {error:.{digits}f}" if np.isfinite(error) else "± ?"


def comparison_lines(comparison: Comparison) -> list[str]:
    """Four lines: the tables, the neighbors, what was lost to what, and what to hold it against."""
    c = comparison
    few = "" if c.n >= 8 * max(c.dims) else f" (few rows for {max(c.dims)} dimensions: the map may miss coordinates)"
    chance = f"by chance {c.expected_by_chance:.3f} would be shared"
    plain = f"{c.overlap:.3f} {_within(c.overlap_error, 3)} as they are"
    mapped = f"{c.overlap_mapped:.3f} {_within(c.overlap_mapped_error, 3)} after the best map"
    return [
        f"{c.n:,} rows of {c.dims[0]} and {c.dims[1]} numbers; {c.k} neighbors of {c.n_queries:,} of them; {chance}",
        f"shared: {plain}, {mapped}; a rotation predicts {max(c.rotation_fit, 0):.1%} of the variance, the map "
        f"{max(c.map_fit, 0):.1%}"
        f"{few}",
        f"of the neighbors {c.lost:.1%} are lost: {c.lost_to_coordinates:.1%} to coordinates, "
        f"{c.lost_to_the_model:.1%} to the model",
        "Hold the last number against trainings that differ in their seed alone, and in their users (chapter 13).",
    ]


def as_json(result: EmbeddingAudit | Comparison) -> str:
    """All numbers, without the arrays; null where there is none, as for the interval of a single query."""
    values = asdict(result)
    if isinstance(result, EmbeddingAudit):
        values["stays"] = result.stays
        values["facts"] = {name: value for name, value in values["facts"].items() if not isinstance(value, np.ndarray)}
    else:
        values |= {name: getattr(result, name) for name in ("lost", "lost_to_coordinates", "lost_to_the_model")}
    return json.dumps(_plain(values), indent=2, allow_nan=False, default=float)


def _plain(value):
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


# --- a page ---


def audit_page(audit: EmbeddingAudit, title: str) -> str:
    """The report as one self-contained HTML page: nothing is loaded, and no text of a file is markup."""
    lines = audit_lines(audit)
    rows = "".join(
        f"<tr><th>{escape(e.name)}</th><td>{e.overlap:.3f} {_within(e.error, 3)}</td>"
        f"<td>{e.lowest:.3f} to {e.highest:.3f}</td><td>{e.null:.3f}</td><td>{e.within_wide:.3f}</td></tr>"
        for e in audit.stability
    )
    heads = ("view", "stay", "over draws", "noise", f"among the first {WIDE * audit.k}")
    verdict = f"<strong>{escape(audit.verdict)}</strong> {escape(audit.advice)} <em>{escape(audit.chapter)}</em>"
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Audit of {escape(title)}</title><style>{_STYLE}</style></head><body><main>
<h1>Audit of {escape(title)}</h1>
<p class="verdict">{verdict}</p>
<h2>Which neighbors stay</h2>{_bars(audit.stability)}
<h2>How directions share the variance</h2>{_curve(audit.facts.spectrum)}
<h2>In numbers</h2><pre>{escape(chr(10).join(lines[:-1]))}</pre>
<div class="wide"><table><thead><tr>{"".join(f"<th>{head}</th>" for head in heads)}</tr></thead>
<tbody>{rows}</tbody></table></div></main></body></html>
"""


def _bars(stability: tuple[Stability, ...]) -> str:
    """One bar a view, with its interval and a mark for the noise."""
    rows = []
    for at, e in enumerate(stability):
        y = 26 * at
        error = e.error if np.isfinite(e.error) else 0.0
        low, middle, high, noise = map(_across, (e.overlap - error, e.overlap, e.overlap + error, e.null))
        rows.append(
            f'<text x="200" y="{y + 16}" text-anchor="end">{escape(e.name)}</text>'
            f'<rect x="210" y="{y + 4}" width="{middle - 210:.1f}" height="16" class="{e.kind}"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 12}" y2="{y + 12}" class="error"/>'
            f'<line x1="{noise:.1f}" x2="{noise:.1f}" y1="{y + 1}" y2="{y + 23}" class="noise"/>'
            f'<text x="600" y="{y + 16}">{e.overlap:.2f}</text>'
        )
    words = "; ".join(f"{e.name} {e.overlap:.2f}, noise {e.null:.2f}" for e in stability)
    return (
        f'<svg viewBox="0 0 640 {26 * len(stability) + 4}" role="img" aria-label="{escape(words)}">'
        f"{''.join(rows)}</svg>"
        "<p>Bars: share of the neighbors by cosine that stay. Upright marks: the same for noise of the same mean and "
        "spectrum.</p>"
    )


def _across(share: float) -> float:
    """Where a share from 0 to 1 stands on the page."""
    return 210 + 380 * min(max(share, 0.0), 1.0)


def _curve(spectrum: np.ndarray) -> str:
    """Cumulative share of the variance over the directions."""
    share = np.cumsum(spectrum) / spectrum.sum() if spectrum.sum() > 0 else np.ones(len(spectrum))
    at = np.unique(np.linspace(0, len(share) - 1, 200).astype(int))
    points = " ".join(f"{40 + 560 * (i + 1) / len(share):.1f},{180 - 160 * share[i]:.1f}" for i in at)
    half = np.searchsorted(share, 0.5) + 1
    words = f"{half} of {len(share)} directions hold half of the variance"
    return (
        f'<svg viewBox="0 0 640 210" role="img" aria-label="{words}"><path d="M40 20V180H600" class="axis"/>'
        f'<polyline points="40,180 {points}" class="curve"/><text x="34" y="24" text-anchor="end">1</text>'
        '<text x="34" y="184" text-anchor="end">0</text>'
        f'<text x="600" y="200" text-anchor="end">{len(share)} directions</text></svg>'
        f"<p>{words}.</p>"
    )


_STYLE = """
:root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--bar:#3b6ea5;--data:#6b8e4e;--gauge:#a5543b;--mark:#555}
@media(prefers-color-scheme:dark){
:root{--ink:#e8e8e8;--paper:#16181c;--bar:#7fb0e6;--data:#a5c98a;--gauge:#e09a80;--mark:#bbb}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:44rem;margin:auto;padding:1rem}
svg{width:100%;height:auto}svg text{fill:currentColor;font-size:14px}
rect.measure{fill:var(--bar)}rect.data{fill:var(--data)}
rect.gauge{fill:var(--gauge)}line.error{stroke:currentColor;stroke-width:2}line.noise{stroke:var(--mark);stroke-width:3}
.axis,.curve{fill:none;stroke:currentColor}.curve{stroke-width:2}pre{white-space:pre-wrap}.wide{overflow-x:auto}
table{border-collapse:collapse}th,td{padding:.2rem .6rem;text-align:right}th:first-child{text-align:left}
.verdict{padding:.6rem .8rem;border-left:4px solid var(--gauge)}.verdict strong{text-transform:uppercase}
"""
