"""Words that carry grammar instead of facts, by language: function words, negations, numbers and units."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest


@dataclass(frozen=True, kw_only=True, eq=False)
class Language:
    name: str
    """The name of its Snowball stemmer."""
    code: str
    """The code of ISO 639-1."""
    function_words: frozenset[str]
    negations: frozenset[str]
    """Words that turn a statement around; all are also function words."""
    has_capital_nouns: bool = False
    """Whether every noun begins with a capital, so that a capital is no sign of a name."""


def _language(
    name: str, code: str, function_words: str, negations: str, *, has_capital_nouns: bool = False
) -> Language:
    negative = frozenset(negations.split())
    return Language(
        name=name,
        code=code,
        function_words=frozenset(function_words.split()) | negative,
        negations=negative,
        has_capital_nouns=has_capital_nouns,
    )


ENGLISH = _language(
    "english",
    "en",
    "a about above after again all also although am among an and any are as at be because been before being below "
    "between both but by can could did do does doing done down during each either else etc even ever every few for "
    "from further get gets got had has have having he her here hers him his how however i if in into is it its itself "
    "just let like made make makes many may me might more most much must my of off on once only or other our out over "
    "own per please quite rather same shall she should since so some such than that the their them then there "
    "therefore these they this those through thus to too under until up upon us very via was we well were what when "
    "where whether which while who whom whose why will with within would yes you your yours",
    "not no never neither nor none nobody nothing nowhere cannot without n't can't won't don't",
)
GERMAN = _language(
    "german",
    "de",
    "aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bin bis bist da dabei dafür "
    "daher dann das dass dein deine dem den denn der des deren dessen die dies diese diesem diesen dieser dieses doch "
    "dort du durch ein eine einem einen einer eines er es etwa etwas euch euer für gegen gibt hab habe haben hat hatte "
    "hier hin ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes kann kannst "
    "können könnte man mehr mein meine mit mich mir muss müssen nach nur ob oder sehr sein seine seinem seinen seiner "
    "seit sich sie sind so sobald sofern sollte sollten sowie sowohl über um und uns unser unsere unter vom von vor "
    "war waren wäre was weil welche welchem welchen welcher welches wenn wer werden wie wieder will wir wird wo wurde "
    "wurden während zu zum zur zwar zwischen",
    "nicht nichts kein keine keinem keinen keiner keines nie niemals niemand weder ohne",
    has_capital_nouns=True,
)
FRENCH = _language(
    "french",
    "fr",
    "à au aux avec ce ces cet cette comme dans de des du elle en est et être eux il ils je la le les leur leurs lui "
    "mais me même mes mon nos notre nous on ont ou où par peut plus pour qu que qui sa se ses si son sont sur ta te "
    "tes tous tout très tu un une vos votre vous",
    "ne pas jamais aucun aucune rien sans ni non n'",
)
SPANISH = _language(
    "spanish",
    "es",
    "a al algo ante antes como con cual cuando de del desde donde e el ella ellos en entre era es esa ese eso esta "
    "este esto está fue ha han hasta la las le les lo los más me mi muy o para pero por porque puede que qué se según "
    "ser si sobre son su sus también te tiene tu tus un una uno usted y ya",
    "no nunca jamás ningún ninguna ninguno nada nadie sin ni tampoco",
)
ITALIAN = _language(
    "italian",
    "it",
    "a ad agli ai al alla alle anche che chi ci come con cui da dal dalla dei del della delle di e è ed era essere fra "
    "gli ha hanno i il in io la le lei li lo loro lui ma mi nei nel nella o per perché più può quando quella quello "
    "questa questo se si sono su sua sul sulla suo ti tra tu un una uno vi",
    "non mai nessun nessuna nessuno niente nulla senza né",
)
DUTCH = _language(
    "dutch",
    "nl",
    "aan al als bij dan dat de deze die dit door een en er haar had hebben heeft het hij hoe hun ik in is je kan kunt "
    "maar me meer met mijn naar nog of om onder ook op over te tot u uit uw van voor was wat we wel wij word worden "
    "wordt zal ze zich zij zijn zo",
    "niet geen nooit niemand niets zonder noch",
)
PORTUGUESE = _language(
    "portuguese",
    "pt",
    "a à ao aos as às até com como da das de dele do dos e é ela ele em entre era essa esse esta este está eu foi há "
    "isso já lhe mais mas me mesmo meu na nas no nos num o os ou para pela pelo pode por porque quando que quem se ser "
    "seu sua são também te tem um uma você",
    "não nunca nenhum nenhuma nada ninguém sem nem",
)
LANGUAGES = (ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, DUTCH, PORTUGUESE)

NUMBER_WORDS: dict[str, int] = {
    word: value
    for words in (
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
        "eighteen nineteen twenty",
        "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn "
        "achtzehn neunzehn zwanzig",
    )
    for value, word in enumerate(words.split(), 2)
} | {
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "dozen": 12,
    "dreissig": 30, "vierzig": 40, "fünfzig": 50, "sechzig": 60, "siebzig": 70, "achtzig": 80, "neunzig": 90,
    "dutzend": 12,
}  # fmt: skip
LOOSE_NUMBER_WORDS: dict[str, int] = {
    "one": 1, "first": 1, "single": 1, "once": 1, "second": 2, "twice": 2, "both": 2, "double": 2, "pair": 2,
    "third": 3, "triple": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9, "tenth": 10,
    "a": 1, "an": 1, "zero": 0,
    "ein": 1, "eine": 1, "einem": 1, "einen": 1, "einer": 1, "eins": 1, "einmal": 1, "erste": 1, "ersten": 1,
    "zweite": 2, "zweiten": 2, "beide": 2, "beiden": 2, "zweimal": 2, "dritte": 3, "dritten": 3, "null": 0,
}  # fmt: skip
"""Words that may stand for a number in a passage, and often mean none: an answer is not held to them."""
SCALES: dict[str, int] = {
    "hundred": 100, "thousand": 1000, "k": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "hundert": 100, "tausend": 1000, "mio": 10**6, "millionen": 10**6, "mrd": 10**9, "milliarde": 10**9,
    "milliarden": 10**9,
}  # fmt: skip
UNITS: dict[str, str] = {
    form: forms.split()[0]
    for forms in (
        "second seconds sec secs s sekunde sekunden", "minute minutes min mins minuten", "hour hours hr hrs h stunde "
        "stunden", "day days tag tage tagen", "week weeks woche wochen", "month months monat monate monaten",
        "quarter quarters quartal quartale", "year years yr yrs jahr jahre jahren", "decade decades jahrzehnt "
        "jahrzehnte", "century centuries jahrhundert jahrhunderte", "percent % per-cent prozent pct", "permille ‰",
        "dollar dollars $ usd", "euro euros € eur", "pound pounds £ gbp pfund", "yen ¥ jpy", "cent cents",
        "bit bits", "byte bytes", "kb kilobyte kilobytes kib", "mb megabyte megabytes mib", "gb gigabyte gigabytes gib",
        "tb terabyte terabytes tib", "ms millisecond milliseconds millisekunden", "mm millimeter millimetre "
        "millimeters millimetres", "cm centimeter centimetre centimeters centimetres", "meter meters metre metres "
        "metern", "km kilometer kilometers kilometre kilometres kilometern", "mile miles meile meilen", "inch inches "
        "zoll", "foot feet ft", "yard yards", "acre acres", "hectare hectares hektar", "gram grams g gramm",
        "kg kilogram kilograms kilogramm", "ton tons tonne tonnes tonnen", "liter liters litre litres", "celsius",
        "fahrenheit",
    )
    for form in forms.split()
}  # fmt: skip

MOST_WORDS = 400
"""More words are not read to tell a language."""
_LEAST_WORDS = 3
_LEAST_LEAD = 1.2

_LANGUAGES_OF: dict[str, list[Language]] = defaultdict(list)
for _each in LANGUAGES:
    for _word in _each.function_words:
        _LANGUAGES_OF[_word].append(_each)


def language_of(words: Sequence[str]) -> Language | None:
    """Return the language with the most function words among the lower-case words; None if they do not tell."""
    found = dict.fromkeys(LANGUAGES, 0)
    for word in words[:MOST_WORDS]:
        for language in _LANGUAGES_OF.get(word, ()):
            found[language] += 1
    (language, most), (_, second) = nlargest(2, found.items(), key=lambda pair: pair[1])
    return language if most >= max(_LEAST_WORDS, second * _LEAST_LEAD) else None
