"""The words by which a question refers to what was asked before it, in the larger languages of an index.

In every other language only its length tells.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferringWords:
    goes_on: re.Pattern[str]
    """With these a question begins that goes on with the last one."""
    whole: re.Pattern[str]
    """A question with a subject and a verb of its own: "And how many users does the plan have?", not "And on it?"."""
    pronoun: re.Pattern[str]
    has_capital_nouns: bool = False
    """Whether every noun begins with a capital, so that a capital is no sign of a name."""


def _words(goes_on: str, asks: str, pronouns: str, *, joins: str, has_capital_nouns: bool = False) -> ReferringWords:
    """Return the patterns; `joins` are the words that may stand before a whole question."""
    return ReferringWords(
        goes_on=re.compile(rf"^\W*(?:{joins}|{goes_on})\b", re.IGNORECASE),
        whole=re.compile(rf"^\W*(?:(?:{joins})\b\W*)?(?:{asks})\b(?:\W+\w+){{4}}", re.IGNORECASE),
        pronoun=re.compile(rf"\b(?:{pronouns})\b", re.IGNORECASE),
        has_capital_nouns=has_capital_nouns,
    )


_ENGLISH = _words(
    "so|then|what about|how about",
    r"(?:how|what)(?! about\b)|when|where|who|whom|whose|which|why|can|could|do|does|did|is|are|was|were|will|would"
    r"|should|may|must|has|have",
    "it|its|that|this|those|these|they|them|their|he|him|his|she|her|there|ones?|same|former|latter",
    joins="and|or|but|also",
)
REFERRING: Mapping[str, ReferringWords] = {
    "english": _ENGLISH,
    "simple": _ENGLISH,  # of an index in several languages
    "german": _words(
        "dann|was ist mit|wie ist es mit|wie sieht es (?:mit|bei)|gilt das",
        "wie|was|wann|wo|woher|wohin|wer|wen|wem|wessen|welche[rsnm]?|warum|wieso|kann|können|muss|müssen|darf|soll|ist"
        "|sind|war|hat|haben|wird|werden|gibt",
        "davon|dafür|damit|dazu|dabei|darüber|daran|darauf|daraus|darin|dort|diese[rsnm]?|dies|jene[rsnm]?|solche[rsnm]?"
        "|dasselbe|derselbe|dieselbe|letztere[rsnm]?",
        joins="und|oder|aber|auch",
        has_capital_nouns=True,
    ),
    "french": _words(
        "alors|donc|sinon|qu'en est-il",
        "comment|que|qu|quel(?:le)?s?|quand|où|qui|pourquoi|combien|est-ce|peut|puis|dois|faut|sont|est",
        "cela|ça|ceci|celui|celle|ceux|celles|eux|elles|cet|cette|ces|là",
        joins="et|ou|mais|aussi",
    ),
    "spanish": _words(
        "entonces|además|qué tal|qué pasa con",
        "cómo|qué|cuál(?:es)?|cuándo|dónde|quién(?:es)?|por qué|cuánt[oa]s?|puedo|puede|es|son|hay|tiene|debo",
        "eso|esto|ello|ese|esa|esos|esas|este|esta|estos|estas|aquel(?:la|los|las)?|allí|ahí|lo mismo",
        joins="y|e|o|u|pero|también",
    ),
    "italian": _words(
        "allora|invece|quindi",
        "come|cosa|che|quale|quali|quando|dove|chi|perché|quant[oaie]|posso|può|è|sono|c'è|ha|devo",
        "ciò|questo|questa|questi|queste|quello|quella|quelli|quelle|lì|esso|essa|essi|lo stesso",
        joins="e|ed|o|ma|anche",
    ),
    "portuguese": _words(
        "então|aliás",
        "como|o que|que|qual|quais|quando|onde|quem|por que|porque|quant[oa]s?|posso|pode|é|são|há|tem|devo",
        "isso|isto|aquilo|disso|disto|nisso|ele|ela|eles|elas|esse|essa|esses|essas|este|esta|estes|estas|aquele|aquela"
        "|lá|aí|o mesmo",
        joins="e|ou|mas|também",
    ),
    "dutch": _words(
        "dan|dus|hoe zit het met",
        "hoe|wat|wanneer|waar|wie|welke?|waarom|kan|kunnen|mag|moet|is|zijn|heeft|hebben|wordt",
        "dat|dit|die|deze|hem|hun|daar(?:van|voor|mee|op|in|aan|over)?|er(?:van|voor|mee|op|in|aan|over)|hetzelfde",
        joins="en|of|maar|ook",
    ),
    "russian": _words(
        "тогда|ещё|еще",
        "как|что|какой|какая|какие|какое|когда|где|кто|почему|зачем|сколько|можно|могу|есть",
        "это|этот|эта|эти|этого|этой|этом|тот|та|те|того|он|она|оно|они|его|её|ее|их|там|туда|такой|такие|то же",
        joins="и|или|но|а|также",
    ),
    "swedish": _words(
        "då|hur är det med",
        "hur|vad|när|var|vem|vilken|vilket|vilka|varför|kan|får|måste|är|har|finns",
        "detta|denna|dessa|dem|deras|där|dit|därifrån|samma",
        joins="och|eller|men|också",
    ),
    "danish": _words(
        "så|hvad med",
        "hvordan|hvad|hvornår|hvor|hvem|hvilken|hvilket|hvilke|hvorfor|kan|må|skal|er|har|findes",
        "dette|denne|disse|dem|deres|derfra|dertil|deri|samme",
        joins="og|eller|men|også",
    ),
    "norwegian": _words(
        "så|hva med",
        "hvordan|hva|når|hvor|hvem|hvilken|hvilket|hvilke|hvorfor|kan|får|må|er|har|finnes",
        "dette|denne|disse|dem|deres|derfra|dit|samme",
        joins="og|eller|men|også",
    ),
}
