"""The site's drawings for print: well-formed SVG with its colours in it.

On a page a drawing leans on the page: on its stylesheet, its patterns, the width of its box, and on HTML's
leave to write attributes without quotes. In print it stands alone.
"""

import re
from xml.etree import ElementTree as ET

_TAG = re.compile(r"<[^<>]+>")
_ATTRIBUTE = re.compile(r"""([\w:-]+)=("[^"]*"|[^\s"/>]+(?:/(?!>)[^\s"/>]*)*)""")
_POINT = re.compile(r"([ML])(-?[\d.]+) (-?[\d.]+)")
_SVG = "http://www.w3.org/2000/svg"
_WIDTH = 1000.0

STYLE = (
    ".ok{fill:#1f9d6b}.dg{fill:#b97f04}.pa{fill:#e0681f}.mj{fill:#d2323f}.un{fill:#8793a1}.mt{fill:#4d82d8}"
    ".ph4{fill:#e2e7eb}.h{fill:#17212b;fill-opacity:.25}"
    "path{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}"
    "path.p50{stroke:#0a6e49}path.p95{stroke:#2a5db0}path.p99{stroke:#8a4bb5;stroke-dasharray:8 6}"
)
"""site.css in its light variant."""


def printed(drawing: str, stretch: float = 1.0) -> str:
    """`drawing` as a document of its own, `stretch` times as high, 1000 wide. Titles and hover bands go."""
    root = ET.fromstring(_well_formed(drawing))  # noqa: S314  we drew it
    box = [float(each) for each in root.get("viewBox", "").split()]
    height = (box[3] if box else float(root.get("height", "0"))) * stretch
    out = ET.Element("svg", {"xmlns": _SVG, "viewBox": f"0 0 {_WIDTH:g} {height:g}"})
    ET.SubElement(out, "style").text = STYLE
    for each in root.iter():
        if each.tag in {"rect", "path"} and each.get("class") != "band":
            _copy(each, out, stretch)
    return ET.tostring(out, encoding="unicode")


def _copy(shape: ET.Element, into: ET.Element, stretch: float) -> None:
    attributes = {name: _length(text) for name, text in shape.attrib.items()}
    for name in ("y", "height"):
        if name in attributes:
            attributes[name] = f"{float(attributes[name]) * stretch:g}"
    if "d" in attributes:
        attributes["d"] = _POINT.sub(
            lambda point: f"{point[1]}{point[2]} {float(point[3]) * stretch:g}", attributes["d"]
        )
    # The hatches of a page are patterns of that page.
    if attributes.pop("fill", "") == "url(#u)":
        attributes["class"] = "un"
    ET.SubElement(into, shape.tag, attributes)


def _length(text: str) -> str:
    """Percentages of the width as units of it."""
    return f"{float(text[:-1]) * _WIDTH / 100:g}" if re.fullmatch(r"-?[\d.]+%", text) else text


def _well_formed(drawing: str) -> str:
    def quoted(attribute: re.Match[str]) -> str:
        value = attribute[2]
        return attribute[0] if value.startswith('"') else f'{attribute[1]}="{value}"'

    return _TAG.sub(lambda tag: _ATTRIBUTE.sub(quoted, tag[0]), str(drawing))
