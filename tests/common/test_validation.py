"""An id is what it looks like."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput
from common.validation import check_identity


@pytest.mark.parametrize("key", ["user_123", "Ana Lee", "a@b.example", "José", "名前", "😀", "x" * 255])
def test_an_id_stays_as_it_is(key: str) -> None:
    assert check_identity(key, "user_id") == key


def test_its_case_is_kept_and_its_form_is_nfc() -> None:
    assert check_identity("Jose\u0301", "user_id") == "Jos\u00e9"
    assert check_identity("JOSE", "user_id") != check_identity("jose", "user_id")


@pytest.mark.parametrize(
    "key", ["", " ", " a", "a ", "a\n", "a\tb", "a\u200bb", "a\u00a0b", "\ufeffa", "a\u3164", None, 7]
)
def test_what_cannot_be_seen_is_refused(key: object) -> None:
    with pytest.raises(InvalidInput, match="user_id"):
        check_identity(key, "user_id")


@given(st.text(max_size=40))
def test_what_is_accepted_is_stable_and_has_no_hidden_signs(text: str) -> None:
    try:
        key = check_identity(text, "user_id")
    except InvalidInput:
        return
    assert check_identity(key, "user_id") == key == key.strip() == unicodedata.normalize("NFC", text)
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    assert all(sign == " " or unicodedata.category(sign) not in hidden for sign in key)
