"""The operator's accent colour, made safe: variants that keep WCAG AA contrast in light and in dark."""

from colorsys import hls_to_rgb, rgb_to_hls

LIGHT_BACKGROUND = "#ffffff"
LIGHT_PAGE = "#f5f7f8"
DARK_BACKGROUND = "#161d26"
TEXT_CONTRAST = 4.5


def channels(colour: str) -> tuple[float, float, float]:
    """`#rrggbb` as red, green, blue from 0 to 1."""
    return int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable(colour: str, background: str, ratio: float = TEXT_CONTRAST) -> str:
    """The nearest shade of `colour` with that contrast on `background`: darker on light, lighter on dark."""
    hue, lightness, saturation = rgb_to_hls(*channels(colour))
    step = -0.01 if luminance(background) > 0.18 else 0.01
    shade = colour
    while contrast(shade, background) < ratio and 0 <= lightness <= 1:
        lightness += step
        red, green, blue = hls_to_rgb(hue, min(max(lightness, 0), 1), saturation)
        shade = f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
    return shade


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on `colour`."""
    return "#ffffff" if contrast(colour, "#ffffff") >= contrast(colour, "#000000") else "#000000"


def theme(accent: str) -> str:
    """The stylesheet with the accent's variants. The page's darkest light background is the measure."""
    light, dark = readable(accent, LIGHT_PAGE, 5), readable(accent, DARK_BACKGROUND, 5)
    return (
        f":root{{--accent:{light};--on-accent:{ink_on(light)};--brand:{accent}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{--accent:{dark};--on-accent:{ink_on(dark)}}}}}\n"
    )
