"""The wish for a person in the languages that come with the bot beside English and German, as data.

A phrase that ends in an ellipsis is the beginning of a wish, any other the whole of it.
"""

from itertools import product

from chat.phrases.known import Phrases


def _beginnings(starts: str, whom: str, end: str = "") -> tuple[str, ...]:
    """Return each start with each person, as beginnings; both are divided by strokes."""
    return tuple(f"{start} {who}{end}…" for start, who in product(starts.split("|"), whom.split("|")))


BUILT_IN = (
    Phrases(
        language="fr",
        wishes=(
            *_beginnings(
                "je veux parler à|je voudrais parler à|je souhaite parler à|j'aimerais parler à|puis-je parler à"
                "|je peux parler à|est-ce que je peux parler à|pourrais-je parler à|parler à|passez-moi"
                "|mettez-moi en relation avec",
                "un humain|une personne|une vraie personne|un être humain|un conseiller|une conseillère|un agent"
                "|quelqu'un|un opérateur",
            ),
            *_beginnings(
                "j'ai besoin de l'aide d'|je voudrais l'aide d'|je veux l'aide d'",
                "un humain|une personne|une vraie personne|un conseiller|une conseillère|un agent",
            ),
            "rappelez-moi", "pouvez-vous me rappeler", "appelez-moi", "y a-t-il quelqu'un", "il y a quelqu'un",
            "y a-t-il quelqu'un ici", "il y a quelqu'un ici", "y a-t-il un humain ici",
            "y a-t-il une vraie personne ici",
            "un humain", "humain", "un conseiller", "conseiller", "une vraie personne", "je veux un humain",
        ),
        fillers=("bonjour", "bonsoir", "salut", "merci", "s'il vous plaît", "s'il te plaît", "svp", "stp"),
    ),
    Phrases(
        language="es",
        wishes=(
            *_beginnings(
                "quiero hablar con|quisiera hablar con|querría hablar con|me gustaría hablar con"
                "|puedo hablar con|podría hablar con|hablar con|pásame con|páseme con|comuníqueme con",
                "una persona|una persona real|un humano|un ser humano|un agente|alguien|un asesor|un operador",
            ),
            *_beginnings(
                "necesito ayuda de|necesito la ayuda de|quiero ayuda de",
                "una persona|una persona real|un humano|un ser humano|un agente|un asesor|un operador",
            ),
            "llámame", "llámenme", "pueden llamarme", "puede llamarme", "devuélvanme la llamada", "hay alguien ahí",
            "hay alguien aquí", "hay alguien", "hay una persona real aquí", "hay algún humano aquí",
            "una persona", "una persona real", "un humano", "humano", "un agente", "agente", "asesor",
        ),
        fillers=("hola", "buenos días", "buenas tardes", "buenas noches", "gracias", "por favor"),
    ),
    Phrases(
        language="it",
        wishes=(
            *_beginnings(
                "voglio parlare con|vorrei parlare con|posso parlare con|potrei parlare con"
                "|parlare con|mi passi|mi metta in contatto con",
                "un operatore|una persona|una persona reale|un umano|un essere umano|qualcuno|un agente|un consulente",
            ),
            *_beginnings(
                "ho bisogno dell'aiuto di|vorrei l'aiuto di|voglio l'aiuto di",
                "un operatore|una persona|una persona reale|un umano|un essere umano|un agente|un consulente",
            ),
            "richiamatemi", "mi richiami", "mi richiamate", "chiamatemi", "potete richiamarmi", "c'è qualcuno",
            "c'è qualcuno qui", "c'è una persona reale qui",
            "un operatore", "operatore", "una persona", "una persona reale", "un umano",
        ),
        fillers=("ciao", "buongiorno", "buonasera", "salve", "grazie", "per favore", "per piacere"),
    ),
    Phrases(
        language="pt",
        wishes=(
            *_beginnings(
                "quero falar com|queria falar com|gostaria de falar com"
                "|posso falar com|poderia falar com|falar com|me passe para",
                "uma pessoa|uma pessoa real|um humano|um ser humano|um atendente|alguém|um agente|um operador",
            ),
            *_beginnings(
                "preciso de ajuda de|preciso da ajuda de|quero ajuda de",
                "uma pessoa|uma pessoa real|um humano|um ser humano|um atendente|um agente|um operador",
            ),
            "me liguem", "me ligue de volta", "liguem-me", "podem me ligar", "tem alguém aí", "há alguém aí",
            "tem alguém aqui", "há alguém aqui", "tem uma pessoa real aqui",
            "um atendente", "atendente", "uma pessoa", "um humano", "humano",
        ),
        fillers=("olá", "oi", "bom dia", "boa tarde", "boa noite", "obrigado", "obrigada", "por favor"),
    ),
    Phrases(
        language="nl",
        wishes=(
            *_beginnings(
                "ik wil met|ik wil graag met|ik zou graag met|kan ik met|mag ik met|kan ik even met",
                "een mens|een medewerker|iemand|een echt persoon|een persoon", " praten",
            ),
            *_beginnings(
                "ik wil met|ik wil graag met|ik zou graag met|kan ik met|mag ik met|kan ik even met"
                "|ik wil graag|kan ik",
                "een mens|een medewerker|iemand|een echt persoon|een persoon", " spreken",
            ),
            *_beginnings(
                "ik heb hulp nodig van|ik wil hulp van|ik wil graag hulp van",
                "een mens|een medewerker|een echt persoon|een persoon|iemand",
            ),
            "bel me terug", "bel mij terug", "bel me", "kunt u mij terugbellen", "kunnen jullie me terugbellen",
            "is daar iemand", "is hier iemand", "is er iemand", "zijn er hier echte mensen",
            "een medewerker", "medewerker", "een mens",
        ),
        fillers=("hallo", "hoi", "goedemorgen", "goedemiddag", "alstublieft", "alsjeblieft", "graag", "bedankt"),
    ),
    Phrases(
        language="pl",
        wishes=(
            *_beginnings(
                "chcę rozmawiać z|chcę porozmawiać z|chciałbym porozmawiać z|chciałabym porozmawiać z"
                "|czy mogę porozmawiać z|mogę porozmawiać z|proszę o rozmowę z|połącz mnie z|proszę mnie połączyć z",
                "człowiekiem|konsultantem|pracownikiem|kimś|doradcą",
            ),
            *_beginnings("potrzebuję pomocy|chcę pomocy", "człowieka|konsultanta|pracownika|doradcy"),
            "do mnie oddzwonić", "oddzwoń do mnie", "o telefon", "czy jest tam ktoś", "jest tam ktoś",
            "czy ktoś tam jest", "czy jest tu jakiś człowiek",
            "konsultant", "człowiek",
        ),
        fillers=("dzień dobry", "cześć", "witam", "dziękuję", "proszę"),
    ),
    Phrases(
        language="ru",
        wishes=(
            *_beginnings(
                "хочу поговорить с|я хочу поговорить с|хотел бы поговорить с|хотела бы поговорить с"
                "|я хотел бы поговорить с|я хотела бы поговорить с|можно поговорить с|могу я поговорить с"
                "|могу поговорить с"
                "|соедините меня с|соедините с|переключите меня на|переключите на|свяжите меня с",
                "человеком|живым человеком|оператором|оператора|сотрудником|сотрудника|специалистом|специалиста"
                "|менеджером|кем-нибудь",
            ),
            *_beginnings("позовите|дайте|позови", "человека|живого человека|оператора|специалиста|менеджера"),
            *_beginnings("мне нужна помощь|нужна помощь", "человека|живого человека|оператора|сотрудника|специалиста"),
            "перезвоните мне", "перезвони мне", "позвоните мне", "перезвоните", "есть кто-нибудь",
            "здесь есть кто-нибудь",
            "тут есть кто-нибудь", "есть тут живые люди", "здесь есть живые люди",
            "оператор", "оператора", "человек", "живой человек", "нужен оператор", "нужен человек", "хочу человека",
            "мне нужен оператор", "мне нужен человек", "мне нужен живой человек", "мне нужен специалист",
        ),
        fillers=("здравствуйте", "привет", "добрый день", "пожалуйста", "спасибо"),
    ),
    Phrases(
        language="sv",
        wishes=(
            *_beginnings(
                "jag vill prata med|jag vill tala med|jag skulle vilja prata med|jag skulle vilja tala med"
                "|kan jag få prata med|kan jag prata med|får jag prata med|kan jag få tala med|kan jag tala med"
                "|låt mig prata med|prata med|tala med|koppla mig till",
                "en människa|en riktig människa|en person|en riktig person|en handläggare|en medarbetare|en agent"
                "|någon|kundtjänst|kundservice|supporten",
            ),
            *_beginnings(
                "jag behöver hjälp av|jag behöver hjälp från|jag vill ha hjälp av",
                "en människa|en riktig människa|en person|en riktig person|en handläggare|en medarbetare",
            ),
            "ring mig", "ring upp mig", "ring tillbaka", "kan ni ringa mig", "kan ni ringa upp mig", "är det någon där",
            "finns det någon där", "finns det någon här", "finns det riktiga människor här",
            "människa", "en människa", "handläggare", "kundtjänst", "jag vill ha en människa",
            "jag behöver en människa",
        ),
        fillers=("hej", "hejsan", "god dag", "tack", "snälla", "är du snäll"),
    ),
    Phrases(
        language="da",
        wishes=(
            *_beginnings(
                "jeg vil tale med|jeg vil gerne tale med|jeg vil snakke med|jeg vil gerne snakke med|kan jeg tale med"
                "|kan jeg snakke med|må jeg tale med|kan jeg få lov at tale med|lad mig tale med|tale med|snakke med"
                "|stil mig om til",
                "et menneske|et rigtigt menneske|en person|en rigtig person|en medarbejder|en agent|nogen"
                "|kundeservice|supporten",
            ),
            *_beginnings(
                "jeg har brug for hjælp fra|jeg har brug for hjælp af|jeg vil gerne have hjælp fra",
                "et menneske|et rigtigt menneske|en person|en rigtig person|en medarbejder",
            ),
            "ring til mig", "ring mig op", "ring tilbage", "kan i ringe til mig", "kan i ringe mig op", "er der nogen",
            "er der nogen der", "er der nogen her", "er der rigtige mennesker her",
            "menneske", "et menneske", "medarbejder", "en medarbejder", "kundeservice", "jeg vil have et menneske",
        ),
        fillers=("hej", "goddag", "tak", "venligst"),
    ),
    Phrases(
        language="nb",
        wishes=(
            *_beginnings(
                "jeg vil snakke med|jeg vil gjerne snakke med|jeg ønsker å snakke med|jeg vil prate med"
                "|jeg vil gjerne prate med|kan jeg få snakke med|kan jeg snakke med|kan jeg prate med"
                "|får jeg snakke med"
                "|la meg snakke med|snakke med|sett meg over til",
                "et menneske|et ekte menneske|en person|en ekte person|en medarbeider|en kundebehandler|en agent|noen"
                "|kundeservice|support",
            ),
            *_beginnings(
                "jeg trenger hjelp fra|jeg trenger hjelp av|jeg vil ha hjelp fra",
                "et menneske|et ekte menneske|en person|en ekte person|en medarbeider|en kundebehandler",
            ),
            "ring meg", "ring meg opp", "ring tilbake", "kan dere ringe meg", "er det noen der", "er det noen her",
            "finnes det ekte mennesker her",
            "menneske", "et menneske", "medarbeider", "kundebehandler", "kundeservice", "jeg vil ha et menneske",
        ),
        fillers=("hei", "god dag", "takk", "vennligst", "vær så snill"),
    ),
)  # fmt: skip
NEEDS = (
    Phrases(
        language="fr",
        wishes=_beginnings(
            "je dois parler à|il faut que je parle à|j'ai besoin de parler à|il me faut|j'ai besoin d'",
            "un humain|une personne|une vraie personne|un conseiller|une conseillère|un agent|quelqu'un|un opérateur",
        ),
    ),
    Phrases(
        language="es",
        wishes=_beginnings(
            "tengo que hablar con|necesito hablar con|debo hablar con",
            "una persona|una persona real|un humano|un ser humano|un agente|alguien|un asesor|un operador",
        ),
    ),
    Phrases(
        language="it",
        wishes=_beginnings(
            "devo parlare con|ho bisogno di parlare con|ho bisogno di",
            "un operatore|una persona|una persona reale|un umano|un essere umano|qualcuno|un agente|un consulente",
        ),
    ),
    Phrases(
        language="pt",
        wishes=_beginnings(
            "tenho que falar com|tenho de falar com|preciso falar com|preciso de falar com",
            "uma pessoa|uma pessoa real|um humano|um ser humano|um atendente|alguém|um agente|um operador",
        ),
    ),
    Phrases(
        language="nl",
        wishes=(
            *_beginnings("ik moet met", "een mens|een medewerker|iemand|een echt persoon|een persoon", " praten"),
            *_beginnings(
                "ik moet|ik moet met", "een mens|een medewerker|iemand|een echt persoon|een persoon", " spreken"
            ),
        ),
    ),
    Phrases(
        language="pl",
        wishes=_beginnings(
            "muszę porozmawiać z|muszę rozmawiać z", "człowiekiem|konsultantem|pracownikiem|kimś|doradcą"
        ),
    ),
    Phrases(
        language="ru",
        wishes=_beginnings(
            "мне нужно поговорить с|мне надо поговорить с|я должен поговорить с|я должна поговорить с",
            "человеком|живым человеком|оператором|сотрудником|специалистом|менеджером",
        ),
    ),
    Phrases(
        language="sv",
        wishes=_beginnings(
            "jag måste prata med|jag måste tala med|jag behöver prata med|jag behöver tala med",
            "en människa|en riktig människa|en person|en handläggare|en medarbetare|någon|kundtjänst|kundservice",
        ),
    ),
    Phrases(
        language="da",
        wishes=_beginnings(
            "jeg skal tale med|jeg bliver nødt til at tale med|jeg har brug for at tale med"
            "|jeg er nødt til at tale med",
            "et menneske|et rigtigt menneske|en person|en medarbejder|nogen|kundeservice",
        ),
    ),
    Phrases(
        language="nb",
        wishes=_beginnings(
            "jeg må snakke med|jeg må prate med|jeg trenger å snakke med",
            "et menneske|et ekte menneske|en person|en medarbeider|en kundebehandler|noen|kundeservice",
        ),
    ),
)  # fmt: skip
"""What is a wish only without a question mark: "¿Tengo que hablar con un agente?" asks."""
JOINS = (
    "et", "mais", "donc", "alors", "y", "e", "pero", "así", "entonces", "ma", "quindi", "mas", "então", "en", "maar",
    "dus", "i", "ale", "więc", "а", "и", "но", "поэтому", "тогда", "och", "men", "så", "og", "derfor",
)  # fmt: skip
"""Words behind which a sentence goes on with another one, which may be the wish."""
