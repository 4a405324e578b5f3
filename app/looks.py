"""Colours, shapes and style of the explorer, for light and dark; free of Streamlit.

Contrast of the marks is at least 3 : 1, and the colours stay apart under protan, deutan and tritan vision. Every
objective owns a colour and a shape; text takes the text colour.
"""

from __future__ import annotations

from dataclasses import dataclass

GLYPHS = ("●", "■", "◆", "▲", "✚", "★")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
"""The same shapes in plotly's names."""
CLIPS = (
    "border-radius:50%",
    "border-radius:2px",
    "clip-path:polygon(50% 0,100% 50%,50% 100%,0 50%);scale:1.2",
    "clip-path:polygon(50% 6%,100% 94%,0 94%);scale:1.15",
    "clip-path:polygon(35% 0,65% 0,65% 35%,100% 35%,100% 65%,65% 65%,65% 100%,35% 100%,35% 65%,0 65%,0 35%,35% 35%)",
    "clip-path:polygon(50% 0,62% 36%,100% 36%,69% 58%,81% 96%,50% 73%,19% 96%,31% 58%,0 36%,38% 36%);scale:1.25",
)
"""The same shapes in CSS."""


@dataclass(frozen=True)
class Look:
    """The colours of one theme."""

    objectives: tuple[str, ...]
    """In order of priority, six of them; beyond the sixth they begin again."""
    text: str
    muted: str
    background: str
    panel: str
    track: str
    """Of bars: what can be reached."""
    line: str
    """Borders and grid."""
    pale: str
    """Marks that are dominated or out of reach."""
    accent: str
    """What is chosen."""

    def colour(self, k: int) -> str:
        """Of the k-th objective."""
        return self.objectives[k % len(self.objectives)]


LIGHT = Look(
    ("#3A41BE", "#2D9E92", "#E66B06", "#99045F", "#805D09", "#806BBB"),
    text="#1B1D22",
    muted="#5F636B",
    background="#FFFFFF",
    panel="#F7F6F3",
    track="#ECEAE4",
    line="#E4E2DC",
    pale="#C9C9C6",
    accent="#1B1D22",
)
DARK = Look(
    ("#93CFFE", "#379280", "#F1B18A", "#E16DCD", "#949D44", "#8F60E0"),
    text="#ECEDEF",
    muted="#A3A9B4",
    background="#12151A",
    panel="#1B2027",
    track="#2A303A",
    line="#2C323B",
    pale="#4A515C",
    accent="#ECEDEF",
)


def glyph(k: int) -> str:
    """Shape of the k-th objective as a character."""
    return GLYPHS[k % len(GLYPHS)]


def symbol(k: int) -> str:
    """Shape of the k-th objective in plotly."""
    return SYMBOLS[k % len(SYMBOLS)]


def clip(k: int) -> str:
    """Shape of the k-th objective in CSS."""
    return CLIPS[k % len(CLIPS)]


def page_css(look: Look) -> str:
    """What every page has: its width, numbers of equal width, touch targets, quiet captions that can still be read."""
    return f"""<style>
[data-testid=stMainBlockContainer]{{padding-top:4.4rem;padding-bottom:3rem;max-width:1240px}}
[data-testid=stMainBlockContainer] *{{font-variant-numeric:tabular-nums}}
[data-testid=stCaptionContainer]{{opacity:1;color:{look.muted}}}
[data-testid=stBaseButton-primary],[data-testid=stBaseButton-primaryFormSubmit]{{color:{look.background}}}
.mute{{color:{look.muted}}}
.answer{{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.6}}
.said{{color:{look.muted};white-space:pre-wrap;overflow-wrap:anywhere}}
@media (max-width:640px){{
[data-testid=stMainBlockContainer]{{padding-left:1rem;padding-right:1rem}}
[data-testid=stMainBlockContainer] button{{min-height:44px}}
}}
</style>"""


def objective_css(names: tuple[str, ...], look: Look, prefix: str = "w_") -> str:
    """Shape and colour before the label of each objective's widget, whose key is ``prefix`` + name.

    By CSS on the key: markup in a label would be read aloud.
    """
    rules = "".join(
        f".st-key-{prefix}{name.replace('.', '-')} label p::before"
        f"{{content:'{glyph(k)}';color:{look.colour(k)};margin-right:.45rem}}"
        for k, name in enumerate(names)
    )
    return f"<style>{rules}</style>"
