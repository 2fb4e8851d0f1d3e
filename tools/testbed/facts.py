"""Build the testbed's names from Unicode CLDR with babel."""

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mixmerge.files import write_json
from mixmerge.testbed import FURTHER, LANGUAGES

COUNTRIES = """
AD AE AF AL AM AO AR AT AU AZ BD BG BH BN BR BS BW CA CD CG CL CN CO CR CU CZ DE DK DO DZ
EE EG ES ET FI FR GB GE GH GM GN GR GT GY HN HR HU ID IE IL IN IQ IR IS IT JM JO JP KE KG
KH KP KR KW KZ LA LB LK LR LT LV LY MA MD MG MK ML MM MN MR MT MV MW MX MY MZ NE NG NI NL
NP NZ OM PE PG PH PK PL PT PY QA RO RS RU SA SD SE SI SK SN SO SR SY TG TH TJ TM TN TO TR
TZ UG US UY UZ VE VN WS YE ZA ZM
""".split()  # noqa: SIM905 - a list of 131 strings is harder to read


def build_facts(out: Path) -> None:
    """Write names of countries, currencies, languages, days and months in the six languages."""
    from babel import Locale
    from babel.languages import get_official_languages
    from babel.numbers import get_territory_currencies

    locales = [Locale.parse(language) for language in LANGUAGES]
    users: Counter[str] = Counter()
    speakers: Counter[str] = Counter()
    for territory in locales[0].territories:
        if len(territory) == 2:
            users.update(get_territory_currencies(territory))
            speakers.update(
                {x.split("_")[0] for x in get_official_languages(territory, de_facto=True)}
            )
    countries: list[dict[str, Any]] = []
    for code in COUNTRIES:
        languages = [x for x in get_official_languages(code, de_facto=True) if "_" not in x]
        languages = [x for x in languages if all(x in locale.languages for locale in locales)]
        countries.append(
            {
                "code": code,
                "name": [locale.territories[code] for locale in locales],
                "currency": get_territory_currencies(code)[-1],
                "languages": languages,
            }
        )
    currencies = dict.fromkeys(c["currency"] for c in countries)
    spoken = dict.fromkeys(x for c in countries for x in c["languages"])
    write_json(
        out,
        {
            "countries": countries,
            "currencies": {
                x: {"name": [lo.currencies[x] for lo in locales], "single": users[x] == 1}
                for x in currencies
            },
            "languages": {
                x: {"name": [lo.languages[x] for lo in locales], "single": speakers[x] == 1}
                for x in spoken
            },
            "days": [[lo.days["stand-alone"]["wide"][i] for lo in locales] for i in range(7)],
            "months": [
                [lo.months["stand-alone"]["wide"][i] for lo in locales] for i in range(1, 13)
            ],
        },
    )


def build_names(facts: Path, language: str, out: Path) -> None:
    """Write the same names in one more language.

    Args:
        facts: the output of `build_facts`, which determines the names.
        language: one of `FURTHER`.
        out: file to write; names that CLDR lacks are null.
    """
    from babel import Locale

    locale, names = Locale.parse(language), json.loads(facts.read_text(encoding="utf-8"))
    write_json(
        out,
        {
            "countries": {x["code"]: locale.territories.get(x["code"]) for x in names["countries"]},
            "currencies": {x: locale.currencies.get(x) for x in names["currencies"]},
            "languages": {x: locale.languages.get(x) for x in names["languages"]},
            "days": [locale.days["stand-alone"]["wide"][i] for i in range(7)],
            "months": [locale.months["stand-alone"]["wide"][i] for i in range(1, 13)],
        },
    )


def build_all(world: Path) -> None:
    """Write all names of the world into its folder."""
    facts = world / "facts.json"
    build_facts(facts)
    for language in FURTHER:
        out = world / "further" / f"{language}.json"
        # One process each: babel adds names that one language inherits to shared data.
        with ProcessPoolExecutor(1, get_context("spawn")) as apart:
            apart.submit(build_names, facts, language, out).result()
