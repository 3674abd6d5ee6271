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
    idle: re.Pattern[str] | None
    """Where a pronoun's word refers to nothing: in "there is", behind "I know", in "this month"."""
    has_capital_nouns: bool = False
    """Whether every noun begins with a capital, so that a capital is no sign of a name."""

    def find_pronoun(self, question: str) -> re.Match[str] | None:
        """Return the first word that refers to something said before, at its position in the question."""
        if self.idle is not None:
            question = self.idle.sub(lambda found: " " * len(found[0]), question)
        return self.pronoun.search(question)


def _words(
    goes_on: str, asks: str, pronouns: str, *, joins: str, idle: str = "", has_capital_nouns: bool = False
) -> ReferringWords:
    """Return the patterns; `joins` are the words that may stand before a whole question."""
    return ReferringWords(
        goes_on=re.compile(rf"^\W*(?:{joins}|{goes_on})\b", re.IGNORECASE),
        whole=re.compile(rf"^\W*(?:(?:{joins})\b\W*)?(?:{asks})\b(?:\W+\w+){{4}}", re.IGNORECASE),
        pronoun=re.compile(rf"\b(?:{pronouns})\b", re.IGNORECASE),
        idle=re.compile(rf"\b(?:{idle})\b", re.IGNORECASE) if idle else None,
        has_capital_nouns=has_capital_nouns,
    )


# "that" is a pronoun behind a preposition, conjunction, question word or auxiliary: "for that", "does that mean".
_BEFORE_THAT = (
    r"about|after|also|and|are|as|at|because|before|behind|but|by|can|could|did|do|does|during|for|from|had|has|have|how"
    r"|if|in|into|is|isn['’]t|like|may|might|must|of|on|or|over|should|since|than|then|to|under|until|was|were|what|when"
    r"|where|which|why|will|with|without|would|(?:do|does|did|would|could|ca|wo)n['’]t"
)
# Elsewhere it is none before a subject of its own ("know that my payment") or a verb ("the plan that includes it").
_AFTER_THAT = (
    r"the|an?|my|our|your|his|their|i|we|you|all|every|each|no|some|any|there|people|everyone|someone"
    r"|is|are|was|were|has|have|had|can|could|will|would|do|does|did|may|might|must|should|need|contain|support|include"
    r"|(?:do|does|did|is|are|was|were|ca|wo|has|have)n['’]t|cannot|\w{2,}(?<!s)s|\w{2,}(?<!e)ed"
)
_BE = r"is|are|was|were|be|been|isn['’]t|aren['’]t|wasn['’]t|weren['’]t"
_ENGLISH = _words(
    "so|then|what about|how about",
    r"(?:how|what)(?! about\b)|when|where|who|whom|whose|which|why|can|could|do|does|did|is|are|was|were|will|would"
    r"|should|may|must|has|have",
    "it|its|that|this|those|these|they|them|their|he|him|his|she|her|there|ones?|same|former|latter",
    joins="and|or|but|also",
    idle=rf"(?:{_BE}) there|there(?:['’](?:s|re|ll|d)| (?:{_BE}|will|would|can|could|may|might|must|should|has|have))"
    rf"|(?!(?:{_BEFORE_THAT}) )[\w'’]+ that(?= (?:{_AFTER_THAT})\b)"
    r"|(?:so|such|sure|true|certain|aware|given|provided|fact|hope|ensure|guarantee) that(?= \w)"
    r"|this (?:morning|afternoon|evening|week|weekend|month|quarter|year|page|site|website|app|chat|service)"
    r"|these days",
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
        idle=r"(?<=, )damit|da(?:von|für|mit|zu|bei|rüber|ran|rauf|raus|rin)(?=,? dass\b)"
        r"|diese[rsnm]? (?:woche|monate?s?|jahr(?:es)?|quartals?|tage|seite|website|app)",
        has_capital_nouns=True,
    ),
    "french": _words(
        "alors|donc|sinon|qu'en est-il",
        "comment|que|qu|quel(?:le)?s?|quand|où|qui|pourquoi|combien|est-ce|peut|puis|dois|faut|sont|est",
        "cela|ça|ceci|celui|celle|ceux|celles|eux|elles|cet|cette|ces|là",
        joins="et|ou|mais|aussi",
        idle="cette (?:semaine|année|page|application)|cet (?:été|hiver|automne|après-midi)|ces (?:jours|temps)",
    ),
    "spanish": _words(
        "entonces|además|qué tal|qué pasa con",
        "cómo|qué|cuál(?:es)?|cuándo|dónde|quién(?:es)?|por qué|cuánt[oa]s?|puedo|puede|es|son|hay|tiene|debo",
        "eso|esto|ello|ese|esa|esos|esas|este|esta|estos|estas|aquel(?:la|los|las)?|allí|ahí|lo mismo",
        joins="y|e|o|u|pero|también",
        # Without its accent "está" is written as "esta".
        idle="est[ea] (?:semana|mes|año|trimestre|página|sitio|aplicación)|(?:d[oó]nde|c[oó]mo) esta|estos días",
    ),
    "italian": _words(
        "allora|invece|quindi",
        "come|cosa|che|quale|quali|quando|dove|chi|perché|quant[oaie]|posso|può|è|sono|c'è|ha|devo",
        "ciò|questo|questa|questi|queste|quello|quella|quelli|quelle|lì|esso|essa|essi|lo stesso",
        joins="e|ed|o|ma|anche",
        idle="quest[oa] (?:settimana|mese|anno|trimestre|pagina|sito)|questi giorni",
    ),
    "portuguese": _words(
        "então|aliás",
        "como|o que|que|qual|quais|quando|onde|quem|por que|porque|quant[oa]s?|posso|pode|é|são|há|tem|devo",
        "isso|isto|aquilo|disso|disto|nisso|ele|ela|eles|elas|esse|essa|esses|essas|este|esta|estes|estas|aquele|aquela"
        "|lá|aí|o mesmo",
        joins="e|ou|mas|também",
        idle="est[ea] (?:semana|mês|ano|trimestre|página|site)|(?:onde|como) esta|estes dias",
    ),
    "dutch": _words(
        "dan|dus|hoe zit het met",
        "hoe|wat|wanneer|waar|wie|welke?|waarom|kan|kunnen|mag|moet|is|zijn|heeft|hebben|wordt",
        "dat|dit|die|deze|hem|hun|daar(?:van|voor|mee|op|in|aan|over)?|er(?:van|voor|mee|op|in|aan|over)|hetzelfde",
        joins="en|of|maar|ook",
        idle=r"(?!(?:is|was|kan|kon|mag|moet|zal|zou|heeft|had|geldt|werkt|kost|betekent|als|of|en|maar|voor|met|van"
        r"|op|in|aan|over|bij|na|wat|hoe|waar|waarom|wanneer) )\w+ dat(?= (?:de|het|een|er|ik|je|jij|u|we|wij|mijn"
        r"|onze?|jouw|uw|alle|iedereen|niemand)\b)|deze (?:week|maand|dagen|pagina|site|app)"
        r"|dit (?:jaar|kwartaal|weekend)",
    ),
    "russian": _words(
        "тогда|ещё|еще",
        "как|что|какой|какая|какие|какое|когда|где|кто|почему|зачем|сколько|можно|могу|есть",
        "это|этот|эта|эти|этого|этой|этом|тот|та|те|того|он|она|оно|они|его|её|ее|их|там|туда|такой|такие|то же",
        joins="и|или|но|а|также",
        idle=r"(?:то|тот|та|те|того),? (?:что|как|кто|котор\w+)|этой (?:неделе|странице)|этом (?:месяце|году|сайте)",
    ),
    "swedish": _words(
        "då|hur är det med",
        "hur|vad|när|var|vem|vilken|vilket|vilka|varför|kan|får|måste|är|har|finns",
        "detta|denna|dessa|dem|deras|där|dit|därifrån|samma",
        joins="och|eller|men|också",
        idle=r"(?:denna|detta) (?:vecka|månad|år|sida)|dessa dagar|där(?= (?:jag|man|vi|du|ni)\b)",
    ),
    "danish": _words(
        "så|hvad med",
        "hvordan|hvad|hvornår|hvor|hvem|hvilken|hvilket|hvilke|hvorfor|kan|må|skal|er|har|findes",
        "dette|denne|disse|dem|deres|derfra|dertil|deri|samme",
        joins="og|eller|men|også",
        idle="(?:denne|dette) (?:uge|måned|år|side)|disse dage",
    ),
    "norwegian": _words(
        "så|hva med",
        "hvordan|hva|når|hvor|hvem|hvilken|hvilket|hvilke|hvorfor|kan|får|må|er|har|finnes",
        "dette|denne|disse|dem|deres|derfra|dit|samme",
        joins="og|eller|men|også",
        idle="(?:denne|dette) (?:uken|måneden|året|siden)|disse dager",
    ),
}
