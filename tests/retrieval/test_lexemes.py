"""The words of the lexical leg: codes, paths and addresses whole and by their parts, with and without accents."""

from typing import Any

import pytest
from django.db import connection

from retrieval.models import Index
from retrieval.search.compounds import split_compounds
from retrieval.search.execute import search_sync
from retrieval.search.highlight import highlighter
from retrieval.search.lexemes import lexical_words
from retrieval.search.parts import Part, score_parts
from retrieval.search.spellings import other_spellings
from tests.cpu_limit import cpu_limit


def lexemes(text: str, language: str = "english") -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tsvector_to_array(fabra_lexemes(%s::regconfig, %s))", [language, lexical_words(text)])
        return set(cursor.fetchone()[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the code E-4021.", "the code E 4021 e4021 ."),
        ("(-4021)", "( 4021 )"),
        ("v2.3.1", "2.3.1 2.3"),
        ("1.5 or v1.5", "1.5 or 1.5"),
        ("openssl-1.1.1k", "openssl 1 1k 1u2e1u2e1k openssl1u2e1u2e1k"),
        ("/etc/nginx/nginx.conf", "etc nginx conf nginxu2econf etcu2fnginxu2fnginxu2econf"),
        (r"C:\etc\hosts", "C: etc hosts etcu2fhosts"),
        ("ERR_CONN_RESET", "ERR CONN RESET errconnreset"),
        ("2024-01-05", "2024 01 05 2024u2d01u2d05"),
        ("user@host.com", "user host com hostu2ecom useru40hostu2ecom"),
        ("see https://a.example/b#c", "see a example au2eexample b au2eexampleu2fb #c"),
        ("C++, C# or C", "C cu2bu2b , C cu23 or C"),
        (".NET and end.Then", "NET u2enet and end Then endu2ethen"),
        ("AT&T", "AT T atu26t"),
        ("NullPointerError mRNA", "NullPointerError Null Pointer Error mRNA"),
        ("wait... don't # 100% (a) b/", "wait... don't # 100% (a) b"),
        ("/login </b> _x src/__tests__/a.py", "login </b> x src tests a py au2epy"),
        ("python3.11", "python3 11 python 3.11 python3u2e11"),
    ],
)
def test_a_compound_is_split_and_kept(text: str, words: str) -> None:
    assert split_compounds(text).split() == words.split()


def test_a_word_alone_stays_as_it_is() -> None:
    text = "Plain words stay, and so do their signs: (42) «q» हिन्दी ."
    assert split_compounds(text).split() == text.split()
    assert "x" * 400 not in split_compounds("/".join(["x" * 100] * 4)).replace("u2f", "")


@pytest.mark.parametrize("unit", ["a+", "a.", "a-", "aB", "1.", "./", "a://", "_", "@", "aaBb", "é-", "C++", "\\"])
def test_a_long_run_of_signs_takes_linear_time(unit: str) -> None:
    with cpu_limit():
        assert split_compounds(unit * 20_000)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The code E-4021 means", "E4021"), ("The code E4021 means", "E-4021"), ("The code E\u20114021", "4021"),
        ("since v2.3.1", "2.3.1"), ("since version 2.3.1", "v2.3.1"), ("since v2.3.1", "2.3"),
        ("edit /etc/nginx/nginx.conf", "nginx.conf"), ("edit /etc/nginx/nginx.conf", "/etc/nginx"),
        ("edit /etc/nginx/nginx.conf", "nginx"), ("write to user@host.com", "host.com"),
        ("write to user@host.com", "user"), ("net::ERR_CONN_RESET", "err-conn-reset"), ("ERR_CONN_RESET", "reset"),
        ("foo_bar()", "foo"), ("from https://docs.example.com/a/b.html?x=1", "b.html"),
        ("from https://docs.example.com/a/b.html?x=1", "docs.example.com"), ("an e-mail", "emails"),
        ("a naïve résumé", "naive"), ("a naive resume", "naïve"), ("a naïve résumé", "resume"),
        ("a resume", "RÉSUMÉ"), ("Müller in São Paulo", "muller"), ("Smørrebrød, Łódź", "lodz"), ("Straße", "strasse"),
        ("Ünal, CAFE\u0301", "café"), ("the IDs of getUserName", "user"), ("node.js", "node"), ("ASP.NET", ".NET"),
        ("open /login", "login"), ("src/__tests__/a.js", "src"), ("docs/_build", "build"), ("/users/{id}/keys", "keys"),
        ("at \u221220 °C", "-20"), ("at -20 °C", "\u221220"), ("the code E\u22124021", "e4021"),
        ("C:/Program Files", "program"), ("a/../b", "b"), ("TLS1.3", "1.3"), ("TLS 1.3", "TLS1.3"),
    ],
)  # fmt: skip
def test_it_is_found_by_itself_and_by_its_parts(text: str, query: str) -> None:
    assert lexemes(query) & lexemes(text)


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["C", "C++", "C#", "F#", ".NET", "v2.3.1", "v2.31", "v23.1", "1.21", "12.1", "10-12"])
def test_signs_tell_names_and_numbers_apart(name: str) -> None:
    names = ["C", "C++", "C#", "F#", ".NET", "v2.3.1", "v2.31", "v23.1", "1.21", "12.1", "10-12"]
    assert [other for other in names if lexemes(name) <= lexemes(other)] == (
        ["C", "C++", "C#"] if name == "C" else [name]
    )


@pytest.mark.django_db
def test_words_are_stemmed_with_their_accents_and_found_without() -> None:
    assert lexemes("mangées à Paris", "french") == {"mang", "mange", "paris"}
    assert lexemes("informações", "portuguese") >= lexemes("informação", "portuguese") & {"inform"} == {"inform"}
    assert lexemes("für die Bücher", "german") == {"buch"}
    assert lexemes("мой", "russian") == lexemes("МОЙ", "russian")
    assert lexemes("й", "simple") == {"й"}


@pytest.mark.django_db
def test_a_word_with_an_accent_counts_once() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT fabra_lexemes('english', 'naïve isn''t \\naïve') = to_tsvector('naive isn''t \\naive')")
        assert cursor.fetchone() == (True,)
    assert lexemes("“für”", "german") == set()


@pytest.mark.parametrize(
    ("query", "spellings"),
    [
        ("80070005", ["0x80070005"]), ("What is 0x8007000E?", ["8007000e"]), ("(#80070005)", ["0x80070005"]),
        ("1,250,000.50 or 1'250", ["1250000.50", "1250"]), ("1\u202f250 €", ["1250"]),
        ("face 123 E-4021 2024-01-05 10.0.0.1 KB5034441 10,20", []), ("from 8007.0005,1 to 1,25", []),
    ],
)  # fmt: skip
def test_numbers_have_other_spellings(query: str, spellings: list[str]) -> None:
    assert other_spellings(query) == spellings


@pytest.mark.django_db
def test_a_code_is_found_with_its_prefix_and_without(put: Any) -> None:
    put("access", "# Access\n\nThe update stops with 0x80070005 where a file is locked. Try it again.")
    put("memory", "# Memory\n\nThe update stops with 8007000E where memory is short. Try it again.")
    put("price", "# Price\n\nThe update costs 1250 euros.")
    for query, entity_id in (("80070005", "access"), ("0x8007000e", "memory"), ("1,250", "price")):
        hits = search_sync("docs", query, 3, mode="lexical").hits
        assert [hit.document_id for hit in hits] == [entity_id], query
    index = Index.objects.get()
    parts = [Part(text="It is 0x80070005."), Part(text="It is 8007000E.")]
    access, memory = score_parts(index, [], "What is 80070005?", parts)
    assert access.score > memory.score
    assert "<mark>0x80070005</mark>" in highlighter("english", "80070005", ["Code 0x80070005"])("Code 0x80070005")


@pytest.mark.django_db
def test_a_spelling_that_no_chunk_has_changes_no_score(put: Any) -> None:
    scores = []
    for number in ("80070005", "800"):  # the second has no other spelling
        put("access", f"# Access\n\nThe update stops with {number} where a file is locked.")
        (hit,) = search_sync("docs", f"update {number}", 1, mode="lexical").hits
        scores.append(hit.lexical_score)
    assert scores[0] == scores[1]
    assert (other_spellings("80070005"), other_spellings("800")) == (["0x80070005"], [])


@pytest.mark.django_db
def test_c_plus_plus_is_found_beside_c_and_c_sharp(put: Any) -> None:
    for entity_id, name in (("c", "C"), ("cpp", "C++"), ("csharp", "C#"), ("dotnet", ".NET")):
        put(entity_id, f"# Clients\n\nThe client for {name} is kept by the community.")
    for query, entity_id in (("C++", "cpp"), ("c#", "csharp"), (".net", "dotnet"), ("client for C++", "cpp")):
        hits = search_sync("docs", query, 4, mode="lexical").hits
        assert hits[0].document_id == entity_id, query
