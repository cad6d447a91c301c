"""The page around the sections, its style, and how numbers are written. Knows nothing of models."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

HUES = ("blue", "amber", "violet", "teal", "rose", "lime")

_STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#16202b;--soft:#5b6875;--line:#e1e6eb;--track:#eceff3;
--blue:#2f6fdb;--amber:#c77d0a;--violet:#8250df;--teal:#0d8a86;--rose:#d0417e;--lime:#5c8a14;
--good:#1a8a4a;--warn:#b97a00;--bad:#cf3a3a;--shadow:0 1px 2px #16202b0d,0 8px 24px #16202b0a;--tint:12%}
@media (prefers-color-scheme:dark){:root{--ground:#0e1318;--card:#161d25;--ink:#e8eef4;--soft:#93a1af;--line:#27313c;
--track:#212a34;--blue:#6ea8ff;--amber:#f0b249;--violet:#b794ff;--teal:#45c8c1;--rose:#ff85b3;--lime:#a5d04e;--good:#4cc77f;
--warn:#f0b249;--bad:#ff7b72;--shadow:none;--tint:18%}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",
"Noto Sans CJK SC","DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main,header,footer{max-width:1120px;margin:0 auto;padding:0 24px}
header{padding-top:56px}
h1{font-size:clamp(2rem,5vw,3.1rem);line-height:1.1;letter-spacing:-.025em;margin:0;overflow-wrap:anywhere}
.brand{display:inline-flex;gap:.55em;align-items:center;color:var(--soft);font-size:.86rem;font-weight:600;letter-spacing:.04em;
margin-bottom:14px}
.brand i{width:10px;height:10px;border-radius:3px;background:var(--blue)}.brand i+i{background:var(--amber)}
.brand i+i+i{background:var(--violet)}.brand i+i+i+i{background:var(--teal)}.brand span{display:inline-flex;gap:3px}
h2{font-size:1.32rem;letter-spacing:-.012em;margin:0 0 4px}
h3{font-size:.95rem;margin:26px 0 8px}
.lead{color:var(--soft);margin:0 0 20px;max-width:72ch}
section{background:var(--card);border:1px solid var(--line);border-radius:16px;padding:28px;margin:22px 0;box-shadow:var(--shadow)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:14px;margin-top:30px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:16px 18px;box-shadow:var(--shadow)}
.tile b{display:block;font-size:1.75rem;line-height:1.2;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.83rem;line-height:1.4;display:block;overflow-wrap:anywhere}
.tile.good b{color:var(--good)}.tile.bad b{color:var(--bad)}
.scroll{overflow-x:auto;margin:0 -6px;padding:0 6px 4px}
table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--soft);text-align:left;font-size:.78rem;white-space:nowrap}
th,td{padding:7px 10px 7px 0;border-bottom:1px solid var(--line);vertical-align:middle}
tr:last-child td{border-bottom:0}td.n,th.n{text-align:right;white-space:nowrap}td.w{min-width:84px;width:34%}td.t{min-width:190px}td.b{min-width:120px;width:26%}
code{font:.86em ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
pre{background:var(--ground);border:1px solid var(--line);border-radius:10px;padding:10px 14px;margin:8px 0 0;overflow-x:auto}
pre code{white-space:pre;overflow-wrap:normal}
.note{border-left:3px solid var(--warn);background:color-mix(in srgb,var(--warn) 9%,transparent);border-radius:0 10px 10px 0;
padding:9px 14px;margin:12px 0;font-size:.9rem;overflow-wrap:anywhere}
.pill{display:inline-block;border-radius:99px;padding:1px 9px;font-size:.76rem;font-weight:600;white-space:nowrap;
color:var(--c,var(--soft));background:color-mix(in srgb,var(--c,var(--soft)) 14%,transparent)}
.track{position:relative;height:10px;border-radius:5px;background:var(--track);display:flex;overflow:hidden}
.track i{display:block;height:100%;background:var(--c);flex:none}
.track i+i{box-shadow:-1px 0 var(--card)}
.bar{position:relative;height:10px;border-radius:5px;background:var(--track)}
.bar i{position:absolute;left:0;top:0;bottom:0;border-radius:5px;background:var(--c)}
.bar i.faint{opacity:.32}.bar s{position:absolute;top:-3px;bottom:-3px;width:2px;background:var(--ink);border-radius:1px}
.legend{display:flex;flex-wrap:wrap;gap:6px 18px;font-size:.83rem;color:var(--soft);margin:14px 0 0}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;background:var(--c);margin-right:6px;vertical-align:-1px}
.variant{display:grid;grid-template-columns:minmax(230px,1.15fr) 2fr 118px;gap:4px 22px;align-items:center;padding:12px 0;
border-bottom:1px solid var(--line)}
.variant:last-of-type{border-bottom:0}.variant .size{text-align:right;font-variant-numeric:tabular-nums;font-weight:600}
.variant small{display:block;color:var(--soft);font-size:.8rem;font-weight:400}.variant .note{grid-column:1/-1;margin:6px 0 2px}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 18px;margin:0;font-size:.9rem}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:8px 40px}.pair>*{min-width:0}
svg{display:block;width:100%;height:auto}svg text{fill:var(--ink);font-family:inherit}svg .soft{fill:var(--soft)}
.c-blue{--c:var(--blue)}.c-amber{--c:var(--amber)}.c-violet{--c:var(--violet)}.c-teal{--c:var(--teal)}.c-rose{--c:var(--rose)}
.c-lime{--c:var(--lime)}.c-good{--c:var(--good)}.c-warn{--c:var(--warn)}.c-bad{--c:var(--bad)}.c-soft{--c:var(--soft)}
.c-line{--c:var(--line)}
.fill{fill:var(--c)}.tint{fill:color-mix(in srgb,var(--c) var(--tint),var(--card));stroke:var(--c);stroke-width:1.4}
.wire{fill:none;stroke:var(--c);stroke-width:2;opacity:.55}.glyph{fill:none;stroke:var(--c);stroke-width:1.8;
stroke-linecap:round;stroke-linejoin:round}
.right{color:var(--good);font-weight:700}.wrong{color:var(--bad);font-weight:700}
footer{color:var(--soft);font-size:.78rem;padding-top:6px;padding-bottom:48px;overflow-wrap:anywhere}
.wide{min-width:620px}
@media (max-width:640px){.tile:last-child:nth-child(odd){grid-column:1/-1}header{padding-top:32px}main,header,footer{padding-left:14px;padding-right:14px}
section{padding:20px 16px;border-radius:14px}.tiles{grid-template-columns:1fr 1fr;gap:10px}.tile{padding:13px 14px}
.tile b{font-size:1.4rem}.variant{grid-template-columns:1fr auto}.variant .track{grid-column:1/-1;grid-row:2}}
@media print{body{background:#fff}section{break-inside:avoid;box-shadow:none}}
"""


def page(title: str, tiles: str, sections: str, footer: str) -> str:
    """The document; `title` is plain text, the rest is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)} – EdgeMM report</title><style>{_STYLE}</style></head><body>"
        '<header><div class="brand"><span><i></i><i></i><i></i><i></i></span>EdgeMM report</div>'
        f'<h1>{escape(title)}</h1><div class="tiles">{tiles}</div></header>'
        f"<main>{sections}</main><footer>{footer}</footer></body></html>\n"
    )


def section(title: str, lead: str, body: str) -> str:
    """One card; `title` and `lead` are plain text, `body` is HTML."""
    return f'<section><h2>{escape(title)}</h2><p class="lead">{escape(lead)}</p>{body}</section>'


def tile(number: str, text: str, kind: str = "") -> str:
    """One large number with what it says."""
    return f'<div class="tile {kind}"><b>{escape(number)}</b><span>{escape(text)}</span></div>'


def table(header: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """A table; `header` gives (title, class of the column), cells are HTML."""
    head = "".join(f'<th class="{kind}">{escape(title)}</th>' for title, kind in header)
    body = "".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for (_, kind), cell in zip(header, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """(hue, text) as coloured squares."""
    items = "".join(f'<span><i class="c-{hue}"></i>{escape(text)}</span>' for hue, text in entries)
    return f'<div class="legend">{items}</div>'


def escape(text: str) -> str:
    """Text for HTML, attributes included; control characters, which HTML may not hold, become `·`."""
    return html.escape("".join(c if c.isprintable() or c in "\n\t" else "·" for c in text), quote=True)


def percent(value: float) -> str:
    """0 to 1 as a CSS width."""
    return f"{100 * max(0.0, min(1.0, value if math.isfinite(value) else 0.0)):.2f}%"


def share(value: float) -> str:
    """0 to 1 for people: 100%, 98.4%."""
    return f"{100 * value:.1f}%".replace(".0%", "%")


def count(number: int) -> str:
    """651,000 as 651 k."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.0f} k" if number >= 1e4 else f"{number}"


def mebibytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 2**20:.2f} MiB" if size >= 2**20 / 10 else f"{size / 2**10:.0f} KiB"


def hue_of(names: Sequence[str], name: str) -> str:
    """The colour of one of `names`, the same all over the page."""
    return HUES[names.index(name) % len(HUES)] if name in names else "soft"
