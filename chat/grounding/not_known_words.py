"""The words by which a model says that it does not know, in each language; each pattern begins with the sentence.

No quantifier stands within another without bounds, so that a pattern takes time linear in the sentence, or at worst its
length times a constant.
"""

import re

_ADVERB = (
    r"(?:\ (?:currently|actually|really|exactly|unfortunately|quite|yet|also|explicitly|directly|specifically|clearly"
    r"|be\ able\ to|seem\ to|have))"
)
_DETERMINER = (
    r"(?:\ (?:any|the|an?|this|that|these|enough|more|further|specific|exact|precise|direct|definite|reliable"
    r"|sufficient|clear|complete|such|you|with|to|on|about|of|much|relevant|additional|your))"
)
_KNOWLEDGE = (
    r"(?:information|info|details?|answers?|knowledge|documentation|mention|records?|passages?|articles?|instructions?"
    r"|guidance|idea|anything|nothing)"
)
_SURE_SOURCES = r"(?:passages?|context|sources?|knowledge\ base|excerpts?|help\ cent(?:er|re))"
_SOURCES = rf"(?:{_SURE_SOURCES}|documents?|documentation|articles?|texts?|materials?|information|reference)"
"""What the model calls its passages; the words that are not sure may also be what the customer writes about."""
_SAY = (
    r"(?:says?|mentions?|specif(?:y|ies)|covers?|states?|describes?|tells?|explains?|answers?|address(?:es)?"
    r"|discuss(?:es)?|indicates?)"
)
_HOLD = r"(?:contains?|includes?|provides?|have|has|holds?|gives?|lists?|offers?)"
_MENTIONED = (
    r"(?:mentioned|covered|specified|stated|described|addressed|answered|documented|discussed|explained|indicated)"
)
_THE = r"(?:the|these|those|your|our|my|any\ of\ the|none\ of\ the|none\ of\ these)(?:\ [\w-]+){0,3}?"
_DO_NOT = r"(?:(?:do|does|did)\ not|don't|doesn't|didn't)"
_CANNOT = r"(?:can\ not|cannot|can't|could\ not|couldn't)"

ENGLISH = rf"""
    (?:i|we)\ {_DO_NOT}{_ADVERB}{{0,2}}\ (?:know)\b
  | i\ {_DO_NOT}{_ADVERB}{{0,2}}{_DETERMINER}{{0,4}}\ (?:see|find|{_KNOWLEDGE})\b
  | we\ {_DO_NOT}\ have{_DETERMINER}{{0,4}}\ (?:information|details?|answers?)\b
  | i(?:\ {_CANNOT}|\ (?:am|was)\ (?:not\ able|unable)\ to|'m\ (?:not\ able|unable)\ to){_ADVERB}{{0,2}}
      {_DETERMINER}{{0,4}}\ (?:find|answer|say|tell|determine|locate|help|assist
      |(?:provide|give){_DETERMINER}{{0,4}}\ {_KNOWLEDGE})\b
  | (?:i\ am|i'm|we\ are|we're)\ not{_ADVERB}{{0,1}}\ (?:sure|certain|aware)\b
  | i\ (?:have|found|find|see|could\ find|can\ find)\ (?:no|nothing|not\ enough|insufficient)\b
  | {_THE}\ {_SURE_SOURCES}\b[^.!?]{{0,60}}?\ {_DO_NOT}{_ADVERB}{{0,2}}\ (?:{_SAY}|{_HOLD})\b
  | {_THE}\ {_SOURCES}\b[^.!?]{{0,60}}?\ {_DO_NOT}{_ADVERB}{{0,2}}
      \ (?:{_SAY}|{_HOLD}{_DETERMINER}{{0,4}}\ {_KNOWLEDGE})\b
  | none\ of\ (?:the|these)(?:\ [\w-]+){{0,3}}?\ {_SOURCES}\b[^.!?]{{0,40}}?\ (?:{_SAY}|{_HOLD})\b
  | nothing\ in\ (?:the|these)(?:\ [\w-]+){{0,3}}?\ {_SOURCES}\b
  | (?:there\ (?:is|are|was|were)|there's)\ (?:no|not\ enough|insufficient){_DETERMINER}{{0,4}}\ {_KNOWLEDGE}\b
  | there(?:\ is|'s)\ nothing\ (?:in|about)\b
  | [^.!?]{{1,150}}?\ (?:is|are|was|were)(?:\ not|n't){_ADVERB}{{0,1}}
      (?:\ {_MENTIONED}\b[^.!?]{{0,40}}?\ (?:in|by)\ {_THE}\ {_SOURCES}
      |\ (?:{_MENTIONED}|found|included|contained|provided|given|listed|available)\ (?:in|by)\ {_THE}
      \ {_SURE_SOURCES})\b
  | (?:your|the|this|that)\ question\ {_CANNOT}\ be\ answered\b
"""

_AUSKUNFT = (
    r"(?:informationen?|infos?|angaben?|antwort\w*|auskunft|hinweise?|einzelheiten|details?|aussagen?|beschreibung\w*)"
)
_WISSEN = rf"(?:finden|gefunden|sagen|beantworten|\w*helfen|sicher|bekannt|nennen|nichts|{_AUSKUNFT})"
_SICHERE_QUELLEN = r"(?:passagen|textstellen|textpassagen|abschnitte\w*|auszüge\w*|kontext|wissensdatenbank)"
_QUELLEN = (
    rf"(?:{_SICHERE_QUELLEN}|dokumente\w*|artikeln?|quellen|unterlagen|hilfeartikeln?|informationen|texte?n?"
    r"|dokumentation)"
)
_KEIN = r"(?:nicht|nichts|kein\w*)"
_DIE = r"(?:die|diese|der|meine|unsere|keine\ der|im|in\ (?:den|diesen|der|meinen|unseren))(?:\ [\w-]+){0,3}?"
_NENNEN = r"(?:nennen|nennt|beantwort\w+|erwähn\w+|sagen|sagt|behandel\w+|beschreib\w+)"
_ENTHALTEN = r"(?:enthalten|enthält|geben|gibt|machen|macht|liefern|liefert)"
GERMAN = rf"""
    (?:(?:das|dies|dazu|darüber|darauf|hierzu|hierüber)\ )?wei(?:ß|ss)\ ich\ (?:\w+\ ){{0,4}}?{_KEIN}\b
  | ich\ wei(?:ß|ss)\ (?:\w+\ ){{0,4}}?{_KEIN}\b
  | (?:[\w-]+\ ){{0,3}}?(?:finde|habe|konnte|kann|fand|bin)\ ich\b(?=[^.!?]*\b{_KEIN}\b)(?=[^.!?]*\b{_WISSEN}\b)
  | ich\ (?:finde|habe|konnte|kann|fand|bin|kenne)\b(?=[^.!?]*\b{_KEIN}\b)(?=[^.!?]*\b{_WISSEN}\b)
  | (?:[\w-]+\ ){{0,3}}?(?:liegen|liegt|ist|sind)\ mir\ (?:\w+\ ){{0,4}}?{_KEIN}\b
  | mir\ (?:liegen|liegt|ist|sind)\ (?:\w+\ ){{0,4}}?{_KEIN}\b
  | mir\ fehlen\ (?:\w+\ ){{0,4}}?{_AUSKUNFT}\b
  | (?:dazu|darüber|hierzu|hierüber)\ (?:gibt\ es|steht|stehen|finde[nt]?\ sich)\b[^.!?]*?\b{_KEIN}\b
  | es\ (?:gibt|liegen|stehen)\b[^.!?]{{0,60}}?\bkeine\w*\ (?:\w+\ ){{0,2}}?{_AUSKUNFT}\b
  | {_DIE}\ {_QUELLEN}\ (?:steht|stehen|finde[nt]?|{_NENNEN})\b[^.!?]*?\b{_KEIN}\b
  | {_DIE}\ {_QUELLEN}\ (?:{_ENTHALTEN}|sind|ist)\b[^.!?]*?\bkeine\w*\ (?:\w+\ ){{0,2}}?{_AUSKUNFT}\b
  | {_DIE}\ {_SICHERE_QUELLEN}\ (?:{_ENTHALTEN}|ist|wird|werden)\b[^.!?]*?\b{_KEIN}\b
  | (?:diese|ihre|deine|die)\ frage\ (?:kann|lässt|konnte)\b[^.!?]*?\bnicht\ beantwort\w+
"""
_FRENCH = r"""
    je\ ne\ (?:le\ )?sais\ (?:malheureusement\ )?pas\b
  | je\ n(?:e\ |')(?:trouve|dispose|connais|peux|ai|parviens)\b(?=[^.!?]*\b(?:aucun\w*|pas|rien)\b)
      (?=[^.!?]*\b(?:informations?|réponse|répondre|trouv\w*|dire|aider|rien)\b)
  | (?:les|ces|aucun\ des)(?:\ [\w-]+){0,2}?\ (?:passages|documents|articles|sources|extraits)\b[^.!?]{0,40}?
      \ ne\ (?:mentionn|précis|répond|di|parl|indiqu)\w+[^.!?]{0,20}?\ (?:pas|aucun\w*|rien)\b
"""
_SPANISH = r"""
    no\ (?:lo\ )?sé\b
  | no\ (?:tengo|encuentro|encontré|he\ encontrado|dispongo|puedo)\b
      (?=[^.!?]*\b(?:información|respuesta|responder|decir\w*|ayudar\w*|datos)\b)
  | (?:los|las|estos|estas|ninguno\ de\ los)(?:\ [\w-]+){0,2}?\ (?:pasajes|documentos|artículos|fuentes|fragmentos)\b
      [^.!?]{0,40}?\ no\ (?:mencionan|dicen|indican|especifican)\b
"""
_ITALIAN = r"""
    non\ (?:lo\ )?so\b
  | non\ (?:ho|trovo|dispongo|posso|sono\ in\ grado)\b
      (?=[^.!?]*\b(?:informazioni|risposta|rispondere|dir\w*|aiutar\w*|dati)\b)
  | (?:i|gli|le|questi|nessuno\ dei)(?:\ [\w-]+){0,2}?\ (?:passaggi|documenti|articoli|fonti|brani)\b[^.!?]{0,40}?
      \ non\ (?:menzionano|dicono|indicano|specificano)\b
"""
_PORTUGUESE = r"""
    (?:eu\ )?não\ sei\b
  | (?:eu\ )?não\ (?:tenho|encontro|encontrei|disponho|posso|consigo|consegui)\b
      (?=[^.!?]*\b(?:informaç\w+|resposta|responder|dizer|ajudar|dados)\b)
  | (?:os|as|estes|estas|nenhum\ dos)(?:\ [\w-]+){0,2}?\ (?:trechos|documentos|artigos|fontes|passagens)\b[^.!?]{0,40}?
      \ não\ (?:mencionam|dizem|indicam|especificam)\b
"""
_DUTCH = r"""
    (?:dat\ |dit\ )?weet\ ik\ (?:\w+\ ){0,3}?niet\b
  | ik\ weet\ (?:\w+\ ){0,3}?niet\b
  | ik\ (?:heb|vind|kan|kon)\b(?=[^.!?]*\b(?:geen|niet|niets)\b)
      (?=[^.!?]*\b(?:informatie|antwoord\w*|beantwoorden|vinden|gevonden|zeggen|helpen)\b)
  | (?:de|deze|geen\ van\ de)(?:\ [\w-]+){0,2}?\ (?:passages|documenten|artikelen|bronnen|fragmenten)\b[^.!?]{0,40}?
      \ (?:vermelden|noemen|zeggen)\b[^.!?]{0,40}?\ (?:geen|niets|niet)\b
"""

_IGNORING = re.IGNORECASE | re.VERBOSE
NOT_KNOWN = [
    re.compile(rf"\W*(?:{pattern})", _IGNORING)
    for pattern in (ENGLISH, GERMAN, _FRENCH, _SPANISH, _ITALIAN, _PORTUGUESE, _DUTCH)
]
CITED_SOURCES = re.compile(
    rf"\b({_SURE_SOURCES}|{_SOURCES}|{_QUELLEN}|pasajes|passaggi|trechos)\b\W{{0,3}}"
    r"(?:\[\d{1,3}\](?:\s{0,3}(?:,|and\b|und\b|et\b|y\b|e\b|en\b))?\s{0,3}){1,20}",
    _IGNORING,
)
"""Passages that are named by their numbers: nothing is claimed by such a mark."""

LEAD = re.compile(
    r"""\W*(?:
      but|so|however|unfortunately|regrettably|sorry|(?:i\ am|i'm|we\ are|we're)\ (?:very\ |really\ )?sorry
      | (?:i|we)\ apologi[sz]e|my\ apologies|apologies|hello|hi|hmm|well
      | (?:based\ on|according\ to|from)\ (?:the|these|this)\ [\w ]{1,40},
      | leider|(?:es\ )?tut\ (?:mir|uns)\ (?:sehr\ )?leid|entschuldigung|hallo|aber|bedauerlicherweise
      | (?:je\ suis\ |nous\ sommes\ )?désolée?s?|malheureusement|lo\ siento|lamentablemente|desafortunadamente
      | mi\ dispiace|purtroppo|sinto\ muito|desculpe|infelizmente|lamento|helaas|het\ spijt\ me
    )(?:\b|(?<=,))[\s,.:;!–—-]*""",
    _IGNORING,
)
"""What stands before such a sentence, and says nothing by itself; several may follow each other."""

_WHOM = (
    r"(?:support|team|persons?|agents?|humans?|us|someone|colleagues?|customer\ (?:service|care)|help\ ?desk|staff"
    r"|website|site|help\ cent(?:er|re)|tickets?|them|administrator|admin|account\ manager|sales"
    r"|kundendienst|kundenservice|kundenbetreuung|menschen|mitarbeiter\w*|uns|kolleg\w*|hotline|equipo|soporte|équipe"
    r"|conseiller|assistance|assistenza|suporte|equipe|medewerker|ondersteuning)"
)
SUGGESTION = re.compile(
    rf"""\W*(?:
      (?:(?:please|you\ (?:can|could|may|might|should)|i\ (?:would\ )?(?:suggest|recommend|advise)
        |i'd\ (?:suggest|recommend)|we\ (?:suggest|recommend)|try|feel\ free\ to
        |it\ (?:is|would\ be|might\ be)\ best\ to|perhaps|maybe|instead
        |(?:for|to)\ [\w' ]{{1,60}},\ (?:please|you|i|contact|write|reach)
        |contact|write\ to|reach\ out|ask|e-?mail|call|consult|get\ in\ touch
        |bitte|am\ besten|sie\ (?:können|sollten)|du\ (?:kannst|solltest)|ich\ (?:empfehle|schlage|rate)
        |wende\w*|frage?n?|schreibe?n?|kontaktiere?n?|melde\w*|für\ [\w ]{{1,60}}
        |veuillez|vous\ pouvez|je\ vous|por\ favor|puede|le\ recomiendo|per\ favore|può|ti\ consiglio|pode|neem|u\ kunt
        |je\ kunt)\b[^.!?]{{0,150}}?
        \b(?:contact\w*|writ\w+|reach\w*|ask\w*|e-?mail\w*|call|speak\w*|talk\w*|touch|check\w*
        |consult\w*|visit\w*|open|wend\w+|frag\w*|schreib\w+|kontakt\w*|meld\w+|sprechen|rufen|écri\w+|demand\w+
        |escrib\w+|pregunt\w+|scriv\w+|chied\w+|escrev\w+|pergunt\w+|vraag|neem|opnemen)\b[^.!?]{{0,80}}?\b{_WHOM}\b)
      | (?:contact|write\ to|reach\ out\ to|ask|e-?mail|call|consult|get\ in\ touch\ with|fragen?|kontaktieren?)
        \b[^.!?]{{0,80}}?\b{_WHOM}\b
      | (?:bitte|sie|du|am|ich|wende\w*|schreibe?n?|melde\w*)\b[^.!?]{{0,80}}?\b(?:an|bei|mit)\ [^.!?]{{0,30}}?
        \b{_WHOM}\b
      | (?:please|could\ you|can\ you|bitte|maybe|perhaps)\b[^.!?]{{0,80}}?
        \b(?:rephras\w+|clarif\w+|more\ (?:details?|context|information|specific)
        |genauer|mehr\ (?:angaben|einzelheiten|informationen)|anders\ formulier\w+)\b
    )""",
    _IGNORING,
)
"""Where else to ask, or to ask in other words: no claim about what was asked."""
COURTESY = re.compile(
    r"""\W*(?:
      (?:hi|hello|hey|thanks(?!\ to\b)|thank\ you|you're\ welcome|goodbye|bye)\b[^.!?,]{0,30}[.!,]*$
    | (?:i'm|i\ am)\ (?:glad|happy|sorry|here)\b
    | (?:i\ hope\ th|let\ me\ know|feel\ free|please\ let|if\ you\ (?:have|need)\ any\ (?:more|other|further))
    | (?:for|about)\ (?:the|any|this|that)\ (?:inconvenience|confusion|trouble|delay)\b
    | (?:hallo|guten\ (?:tag|morgen|abend)|danke|vielen\ dank|gern\ geschehen|auf\ wiedersehen)\b[^.!?,]{0,30}[.!,]*$
    | (?:ich\ hoffe|melden?\ (?:sie\ sich|dich))\b
    )""",
    _IGNORING,
)
CLAUSE_END = re.compile(
    r"\s*(?:[;:]\s|[,.]?\s(?:but|however|though|although|yet|aber|jedoch|allerdings|doch|mais|pero|tuttavia|mas|maar)\s"
    r"|,\s(?:so|or|and|und|oder)\s|\s[–—-]{1,3}\s)",
    re.IGNORECASE,
)
