"""A pad for three weights: a triangle whose corners are the objectives.

Dragging is followed in the page itself, without a round trip; the weights are sent on release. The arrow keys move
the handle too, and the sliders beside it say the same, so that nobody needs a mouse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import streamlit as st

from app.looks import Look, glyph

HTML = "<div class='pad' tabindex='0' role='slider' aria-valuemin='0' aria-valuemax='100'></div>"
CSS = """
.pad{outline:none;touch-action:none;cursor:grab;max-width:250px;margin:0 auto;-webkit-user-select:none;user-select:none}
.pad:active{cursor:grabbing}
.pad:focus-visible{outline:2px solid var(--st-primary-color);outline-offset:2px;border-radius:10px}
svg{display:block;width:100%;height:auto;overflow:visible}
text{font-family:var(--st-font);font-size:12px}
"""
JS = """
const C = [[120, 22], [20, 196], [220, 196]];
const NS = 'http://www.w3.org/2000/svg';
function el(parent, name, attributes, text) {
  const e = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  parent.appendChild(e);
  return e;
}
function clamp(w) {
  w = w.map(x => Math.max(x, 0));
  const s = w[0] + w[1] + w[2];
  return w.map(x => x / s);
}
function weightsAt(x, y) {
  const [[ax, ay], [bx, by], [cx, cy]] = C;
  const d = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
  const a = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / d;
  const b = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / d;
  return clamp([a, b, 1 - a - b]);
}
export default function(component) {
  const { data, parentElement, setTriggerValue } = component;
  const pad = parentElement.querySelector('.pad');
  pad.replaceChildren();
  const svg = el(pad, 'svg', { viewBox: '0 0 240 222', 'aria-hidden': 'true' });
  el(svg, 'polygon', { points: C.map(p => p.join()).join(' '), fill: data.panel, stroke: data.line,
    'stroke-width': 1.5, 'stroke-linejoin': 'round' });
  for (let k = 0; k < 3; k++) for (const t of [0.25, 0.5, 0.75]) {
    const p = C[k], mix = q => [p[0] + (q[0] - p[0]) * t, p[1] + (q[1] - p[1]) * t];
    const [u, v] = [mix(C[(k + 1) % 3]), mix(C[(k + 2) % 3])];
    el(svg, 'line', { x1: u[0], y1: u[1], x2: v[0], y2: v[1], stroke: data.line });
  }
  const spokes = C.map((p, k) => el(svg, 'line', { x2: p[0], y2: p[1], stroke: data.colours[k], 'stroke-width': 3,
    'stroke-linecap': 'round' }));
  const labels = [[120, 12, 'middle'], [8, 214, 'start'], [232, 214, 'end']].map(([x, y, anchor], k) => {
    const t = el(svg, 'text', { x, y, 'text-anchor': anchor, fill: data.text });
    const g = document.createElementNS(NS, 'tspan');
    g.setAttribute('fill', data.colours[k]); g.textContent = data.glyphs[k] + ' ';
    const n = document.createElementNS(NS, 'tspan');
    t.append(g, n);
    return n;
  });
  const dot = el(svg, 'circle', { r: 9, fill: data.background, stroke: data.text, 'stroke-width': 3 });
  let w = data.weights;
  function draw() {
    const x = w[0] * C[0][0] + w[1] * C[1][0] + w[2] * C[2][0];
    const y = w[0] * C[0][1] + w[1] * C[1][1] + w[2] * C[2][1];
    dot.setAttribute('cx', x); dot.setAttribute('cy', y);
    spokes.forEach((s, k) => {
      s.setAttribute('x1', x); s.setAttribute('y1', y); s.setAttribute('opacity', 0.15 + 0.85 * w[k]);
    });
    labels.forEach((n, k) => { n.textContent = data.names[k] + ' ' + Math.round(100 * w[k]) + ' %'; });
    pad.setAttribute('aria-label', 'Weights of ' + data.names.join(', '));
    pad.setAttribute('aria-valuenow', Math.round(100 * w[0]));
    const said = data.names.map((n, k) => n + ' ' + Math.round(100 * w[k]) + ' percent');
    pad.setAttribute('aria-valuetext', said.join(', '));
  }
  draw();
  let held = false;
  function follow(e) {
    const box = svg.getBoundingClientRect(), s = 240 / box.width;
    w = weightsAt((e.clientX - box.left) * s, (e.clientY - box.top) * s);
    draw();
  }
  pad.onpointerdown = e => { held = true; pad.setPointerCapture(e.pointerId); follow(e); };
  pad.onpointermove = e => { if (held) follow(e); };
  pad.onpointerup = e => { if (held) { held = false; setTriggerValue('weights', w); } };
  pad.onpointercancel = () => { held = false; };
  const moves = { ArrowUp: [2, -1, -1], ArrowDown: [-2, 1, 1], ArrowLeft: [0, 1, -1], ArrowRight: [0, -1, 1] };
  let sending = 0;
  pad.onkeydown = e => {
    const m = moves[e.key];
    if (!m) return;
    e.preventDefault();
    w = clamp(w.map((x, k) => x + 0.06 * m[k])); // more than half a slider's step, into which it is rounded
    draw();
    clearTimeout(sending);
    sending = setTimeout(() => setTriggerValue('weights', w), 150);
  };
  return () => clearTimeout(sending);
}
"""


@cache
def _component() -> Any:
    return st.components.v2.component("pareto_ternary", html=HTML, css=CSS, js=JS)


def pad(weights: Mapping[str, float], look: Look, key: str, on_move: Callable[[list[float]], None]) -> None:
    """Draw the pad.

    Args:
        weights: of three objectives, on the simplex.
        look: the theme.
        key: of the component in the session.
        on_move: told the weights where the handle was let go, in the order of ``weights``.
    """

    def moved() -> None:
        on_move([float(w) for w in st.session_state[key]["weights"]])

    _component()(
        key=key,
        data={
            "names": list(weights),
            "weights": list(weights.values()),
            "colours": [look.colour(k) for k in range(3)],
            "glyphs": [glyph(k) for k in range(3)],
            "text": look.text,
            "panel": look.panel,
            "line": look.line,
            "background": look.background,
        },
        on_weights_change=moved,
    )
