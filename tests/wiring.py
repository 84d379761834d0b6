"""Draw docs/wiring.svg: python -m tests.wiring.

The lines are those of the configuration's defaults, and for what has none, those that
docs/hardware.md proposes.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.config import Gpio

FILE = Path(__file__).parent.parent / "docs" / "wiring.svg"
PROPOSED = Gpio(exit_button=22, doorbell=23, contact=24, tamper=25, light=12)
PINS = {17: 11, 27: 13, 22: 15, 23: 16, 24: 18, 25: 22, 5: 29, 6: 31, 13: 33, 19: 35, 12: 32}
"""Pins of the 40-pin header, by BCM number."""

WIDTH = 900
ROW = 44
PI_X, PI_WIDTH = 20, 190
GAP = 26
SAFE = "safe"
KINDS = {
    "relay COM-NO": "switch",
    "relay COM-NC": "switch",
    "fire alarm contact": SAFE,
    "break glass": SAFE,
}
LEGEND = "Orange: works without software. Blue: the relay. Diodes have their cathode at +."
INDUCTIVE = {"strike", "magnet"}


@dataclass(frozen=True)
class Wire:
    """A line of the Pi, what it goes through, and where it ends."""

    line: int
    key: str
    through: tuple[str, ...]
    end: str = "GND"


def _wires() -> list[Wire]:
    switches = PROPOSED.switches
    colours = {
        "led_red": PROPOSED.led_red,
        "led_green": PROPOSED.led_green,
        "led_blue": PROPOSED.led_blue,
    }
    return [
        *(
            Wire(switches[key].line, key, ("1 kΩ", part))
            for key, part in (
                ("enrol_button", "button"),
                ("exit_button", "button, inside"),
                ("doorbell", "button"),
                ("contact", "reed contact, closed while the door is"),
                ("tamper", "switch, closed while the case is"),
            )
        ),
        *(
            Wire(line, key, ("330 Ω", f"LED, {key.removeprefix('led_')}"))
            for key, line in colours.items()
            if line is not None
        ),
        *(
            Wire(line, key, (gate, load), supply)
            for key, line, gate, load, supply in (
                ("buzzer", PROPOSED.buzzer, "transistor", "active buzzer", "5 V"),
                ("light", PROPOSED.light, "MOSFET", "white LED 1-3 W, driver", "12 V"),
            )
            if line is not None
        ),
    ]


def _text(x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> str:
    escaped = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" class="{kind}">{escaped}</text>'


def _path(*points: tuple[float, float]) -> str:
    return f'<polyline points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'


def _box(
    x: float, y: float, words: str, kind: str = "", *, height: float = 28
) -> tuple[str, float]:
    """Draw a box whose left edge is at x and whose middle is at y; give it and its right edge."""
    width = 22 + 7.2 * len(words)
    shape = f'<rect x="{x:g}" y="{y - height / 2:g}" width="{width:g}" height="{height:g}"'
    label = _text(x + width / 2, y + 5, words, anchor="middle")
    return f'{shape} class="{kind}"/>' + label, x + width


def _chain(x: float, y: float, parts: tuple[str, ...], end: str) -> str:
    """Draw boxes in a row, joined by wires, from x on, and a diode across what is inductive."""
    drawn = []
    for part in parts:
        box, right = _box(x + GAP, y, part, KINDS.get(part, ""))
        drawn += [_path((x, y), (x + GAP, y)), box]
        if part in INDUCTIVE:
            diode, end_of_diode = _box(x + GAP, y + ROW, "diode")
            left, over = x + GAP / 2, max(right, end_of_diode) + GAP / 2
            drawn += [_path((left, y), (left, y + ROW), (x + GAP, y + ROW)), diode]
            drawn += [_path((end_of_diode, y + ROW), (over, y + ROW), (over, y), (right, y))]
            right = over - GAP / 2
        x = right
    drawn += [_path((x, y), (x + GAP, y)), _text(x + GAP + 6, y + 5, end, kind="title")]
    return "\n".join(drawn)


def _label(y: float, line: int, key: str) -> str:
    return _text(PI_X + 10, y + 5, f"{PINS[line]}  GPIO{line}  {key}")


def _release(y: float) -> str:
    """Draw what the relay's line goes to: it passes only while the one-shot lets it."""
    x = PI_X + PI_WIDTH
    node = x + GAP / 2
    once, after = _box(x + GAP, y + ROW, "one-shot, 33 s", SAFE)
    rest, earth = _box(x + GAP, y + 2 * ROW, "10 kΩ", SAFE)
    both, out = _box(after + GAP, y + ROW / 2, "AND", SAFE, height=ROW + 28)
    return "\n".join(
        [
            _label(y, PROPOSED.relay, "relay"),
            _path((x, y), (after + GAP, y)),
            _path((node, y), (node, y + 2 * ROW), (x + GAP, y + 2 * ROW)),
            _path((node, y + ROW), (x + GAP, y + ROW)),
            _path((after, y + ROW), (after + GAP, y + ROW)),
            _path((earth, y + 2 * ROW), (earth + GAP, y + 2 * ROW)),
            _text(earth + GAP + 6, y + 2 * ROW + 5, "GND", kind="title"),
            *(f'<circle cx="{node:g}" cy="{at:g}" r="3"/>' for at in (y, y + ROW)),
            once,
            rest,
            both,
            _chain(out, y + ROW / 2, ("relay board",), "5 V, GND"),
        ]
    )


def _pi(y: float, wires: list[Wire]) -> str:
    height = ROW * (3 + len(wires))
    drawn = [
        f'<rect x="{PI_X}" y="{y:g}" width="{PI_WIDTH}" height="{height}" class="pi"/>',
        _text(PI_X, y - 12, "Raspberry Pi: pin, BCM number, key of [gpio]", kind="title"),
        _release(y + ROW / 2),
    ]
    for index, wire in enumerate(wires):
        at = y + ROW * (index + 3.5)
        drawn.append(_label(at, wire.line, wire.key))
        drawn.append(_chain(PI_X + PI_WIDTH, at, wire.through, wire.end))
    return "\n".join(drawn)


def _circuit(y: float, title: str, parts: tuple[str, ...]) -> str:
    return "\n".join(
        [
            _text(PI_X, y - 30, title, kind="title"),
            _text(PI_X, y + 5, "12 V +", kind="title"),
            _chain(PI_X + 48, y, parts, "12 V −"),
        ]
    )


def wiring() -> str:
    """Draw the diagram."""
    wires = _wires()
    top = 50
    below = top + ROW * (3 + len(wires))
    strike = _circuit(
        below + 80,
        "Strike, fail-secure: current opens it, so that no current is locked",
        ("fuse", "relay COM-NO", "strike"),
    )
    magnet = _circuit(
        below + 210,
        "or magnet, fail-safe: current holds it, so that no current is open",
        ("fuse", "fire alarm contact", "break glass", "relay COM-NC", "magnet"),
    )
    height = below + 310
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<title>How a door is wired to the Raspberry Pi</title>
<style>
text {{ font: 13px sans-serif; fill: #111 }}
.title {{ font-weight: bold }}
rect {{ fill: #fff; stroke: #111; stroke-width: 1.5; rx: 4 }}
.pi {{ fill: #e6f0e6 }}
.safe {{ fill: #fde9c8 }}
.switch {{ fill: #dce8f8 }}
polyline {{ fill: none; stroke: #111; stroke-width: 1.5 }}
</style>
<rect width="{WIDTH}" height="{height}" style="stroke: none"/>
{_pi(top, wires)}
{strike}
{magnet}
{_text(PI_X, height - 16, LEGEND)}
</svg>
"""


if __name__ == "__main__":
    FILE.write_text(wiring(), encoding="utf-8")
