"""Web push against RFC 8291's own example and the recorded vectors."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from notifications.push import endpoints, seal
from notifications.push.delivery import Result, meaning
from tests.notifications.receiving import Browser, bytes64, claims_of
from tests.payments.protocol_vectors import load

VECTORS = load("webpush")
recorded = [
    pytest.mark.vectors,
    pytest.mark.skipif(
        "vapid" not in VECTORS, reason="this set of vectors has no webpush.json"
    ),
]
ACTIONS = {
    "delivered": Result.DELIVERED,
    "delete_subscription": Result.GONE,
    "retry_later": Result.LATER,
    "operator_alarm": Result.OPERATOR_ALARM,
    "shorten": Result.REFUSED,  # ours are short; a repeat would be as long
}


def cases(part: str) -> list[Any]:
    return [
        pytest.param(case, id=f"webpush-{case.get('id') or case['status']}")
        for case in VECTORS.get(part, [])
    ]


def test_it_seals_the_example_of_rfc_8291() -> None:
    """RFC 8291, section 5 and appendix A: every byte."""
    body = seal.sealed(
        b"When I grow up, I want to be a watermelon",
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
        salt=bytes64("DGv6ra1nlYgDCS1FRnbzlw"),
        sender=seal.private_key(bytes64("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")),
    )
    assert seal.to_text(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vC"
        "YLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXL"
        "WyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_no_two_messages_look_alike_and_none_is_too_long() -> None:
    browser = Browser()
    one, two = (seal.sealed(b"same", *browser.keys.values()) for _ in range(2))
    assert one != two
    assert browser.open(one) == browser.open(two) == b"same"
    longest = b"x" * seal.LONGEST
    sealed = seal.sealed(longest, *browser.keys.values())
    assert len(sealed) == 4096
    assert browser.open(sealed) == longest
    with pytest.raises(ValueError, match="too long"):
        seal.sealed(longest + b"x", *browser.keys.values())


class TestRecorded:
    pytestmark = recorded

    @property
    def browser(self) -> Browser:
        scalar = bytes64(VECTORS["user_agent_private_scalar_b64url"])
        return Browser(scalar, bytes64(VECTORS["subscription"]["keys"]["auth"]))

    def test_webpush_a_recorded_body_is_read_and_ours_like_it(self) -> None:
        assert self.browser.keys == VECTORS["subscription"]["keys"]
        text = VECTORS["plaintext"].encode()
        theirs = base64.b64decode(VECTORS["encrypted_body_b64"])
        assert self.browser.open(theirs) == text
        ours = seal.sealed(text, **VECTORS["subscription"]["keys"])
        assert self.browser.open(ours) == text
        assert len(ours) == len(theirs)

    def test_webpush_the_vapid_header_makes_the_recorded_claims(self) -> None:
        vapid = VECTORS["vapid"]
        expected, public = claims_of(vapid["authorization"])
        assert (expected, public) == (vapid["claims"], vapid["public_b64url"])
        now = datetime.fromtimestamp(VECTORS["now"], UTC)
        header = seal.authorization(
            VECTORS["subscription"]["endpoint"],
            key=seal.vapid_key(vapid["private_pem"]),
            subject=expected["sub"],
            now=now,
        )
        claims, key = claims_of(header)
        assert key == public
        assert claims["exp"] - VECTORS["now"] == 12 * 3600
        assert claims | {"exp": expected["exp"]} == expected
        with pytest.raises(InvalidSignature):
            claims_of(f"vapid t={vapid['tampered_jwt']},k={public}")

    def test_webpush_the_key_is_read_in_both_forms(self) -> None:
        pem = VECTORS["vapid"]["private_pem"]
        key = seal.vapid_key(pem)
        assert seal.to_text(seal.public_bytes(key)) == VECTORS["vapid"]["public_b64url"]
        raw = seal.to_text(key.private_numbers().private_value.to_bytes(32))
        one_line = pem.replace("\n", "\\n")
        for form in (raw, one_line):
            assert seal.vapid_key(form).private_numbers() == key.private_numbers()

    @pytest.mark.parametrize("case", cases("bad_subscriptions"))
    def test_webpush_a_bad_subscription_is_refused(self, case: dict[str, Any]) -> None:
        """security 78"""
        if "keys" in case:
            with pytest.raises(seal.BadKey):
                seal.browser_keys(**case["keys"])
        else:
            with pytest.raises(endpoints.Refused):
                endpoints.accept(case["endpoint"])

    @pytest.mark.parametrize("case", cases("service_replies"))
    def test_webpush_an_answer_means_the_recorded_action(
        self, case: dict[str, Any]
    ) -> None:
        assert meaning(case["status"]) is ACTIONS[case["action"]]
