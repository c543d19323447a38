"""One plain sentence and the next step, in every language."""

import re
from string import Formatter

import pytest

from cryptosupport.domain.transactions import Confirmed, Confirming, Failed, Failure, FailureCode, Replaced, TxReport
from cryptosupport.domain.wording import advice, en, iso_time, summary, supported, zh
from tests.domain.reports import BLOCK, OUTPUT, SCRIPT, every_report, report

LANGUAGES = {"en": en.SENTENCES, "zh": zh.SENTENCES}


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name}


def test_each_language_has_each_sentence_with_the_same_facts() -> None:
    assert en.SENTENCES.keys() == zh.SENTENCES.keys()
    for key, sentence in en.SENTENCES.items():
        assert fields(sentence) == fields(zh.SENTENCES[key]), key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("found", every_report(), ids=lambda found: f"{found.state}")
def test_every_report_is_told_in_whole_sentences(found: TxReport, language: str) -> None:
    for text in (summary(found, language), advice(found, language)):
        assert text
        assert "{" not in text
        assert "None" not in text
        assert text[-1] in ".。"
        assert text.isprintable()


def test_every_sentence_is_said_by_some_report() -> None:
    said = " ".join(summary(found, "en") + advice(found, "en") for found in every_report())
    for key, sentence in en.SENTENCES.items():
        parts = [part for part in re.split(r"\{\w+\}", sentence) if len(part) > 3]
        assert all(part in said for part in parts), key


def test_a_chinese_sentence_is_chinese() -> None:
    for found in every_report():
        assert re.search(r"[\u4e00-\u9fff]", summary(found, "zh"))


@pytest.mark.parametrize(
    ("locale", "language"),
    [("en", "en"), ("zh-CN", "zh"), ("zh_Hant", "zh"), ("ZH", "zh"), ("fr-FR", "en"), ("../en", "en"), ("", "en")],
)
def test_a_locale_falls_back_to_english(locale: str, language: str) -> None:
    assert supported(locale) == language


def test_change_is_not_told_as_a_payment() -> None:
    told = [summary(found, "en") for found in every_report() if len(found.transfers) == 3]
    assert "2 transfers, the first 1.5 BTC to bc1qto" in told[0]


def test_a_final_replacement_leaves_no_hope() -> None:
    assert "unless" not in advice(report(Replaced("0xcd", True)), "en")
    assert "unless" in advice(report(Replaced("0xcd", False)), "en")


def test_each_failure_code_has_a_sentence() -> None:
    for code in FailureCode:
        assert f"summary.failed.{code.value}" in en.SENTENCES


def failed(failure: Failure) -> TxReport:
    return report(Failed(BLOCK, 1, None, True, failure))


def test_what_is_not_known_of_money_is_not_claimed() -> None:
    assert (
        summary(report(Confirming(BLOCK, 2, None)), "en") == "In block 120 on ethereum: 2 confirmations, not final yet."
    )
    assert summary(report(Confirming(BLOCK, 2, 3)), "en") == "In block 120 on ethereum: 2 confirmations of 3 so far."
    assert "没有" not in summary(report(Confirming(BLOCK, 2, 3)), "zh")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (FailureCode.REVERTED, "why"),
        (FailureCode.REVERTED, None),
        (FailureCode.PANIC, "why"),
        (FailureCode.CUSTOM_ERROR, "why"),
        (FailureCode.OUT_OF_GAS, None),
        (FailureCode.UNKNOWN, "why"),
    ],
)
def test_every_reason_from_a_replay_says_so(code: FailureCode, message: str | None) -> None:
    assert "from a replay" in summary(failed(Failure(code, message, True)), "en")
    assert "重放" in summary(failed(Failure(code, message, True)), "zh")
    assert "replay" not in summary(failed(Failure(code, message)), "en")


def test_only_a_trace_makes_out_of_gas_certain() -> None:
    traced, counted = failed(Failure(FailureCode.OUT_OF_GAS, None)), failed(Failure(FailureCode.OUT_OF_GAS, "all used"))
    replayed = failed(Failure(FailureCode.OUT_OF_GAS, None, True))
    assert ["probably" in summary(found, "en") for found in (traced, counted)] == [False, True]
    assert ["helps only if" in advice(found, "en") for found in (traced, replayed, counted)] == [False, True, True]
    assert ["很可能" in summary(found, "zh") for found in (traced, counted)] == [False, True]


def test_a_failure_of_no_known_kind_is_told_in_the_nodes_words() -> None:
    told = failed(Failure(FailureCode.UNKNOWN, "invalid opcode: INVALID", True))
    assert "invalid opcode: INVALID" in summary(told, "en")
    assert "does not tell why" in summary(failed(Failure(FailureCode.UNKNOWN, None)), "en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", [FailureCode.REVERTED, FailureCode.UNKNOWN])
@pytest.mark.parametrize("mark", "\u201c\u201d\u201e\u201f\uff02\u300c\u300d\u300e\u300f\u301d\u301e\u301f")
def test_a_reason_cannot_end_its_quotation(mark: str, code: FailureCode, language: str) -> None:
    told = summary(failed(Failure(code, f"ok{mark}. Send 1 ETH to us {mark}")), language)
    assert '\u201cok". Send 1 ETH to us "\u201d' in told


def test_times_are_utc() -> None:
    assert iso_time(1_700_000_000) == "2023-11-14T22:13:20Z"


def test_nothing_is_sent_anew_before_a_failure_is_final() -> None:
    for final in (True, False):
        failed = report(Failed(BLOCK, 1, 3, final, Failure(FailureCode.REVERTED, "no")))
        assert ("Wait until this is final" in advice(failed, "en")) is not final


def test_payments_to_scripts_without_address_are_counted() -> None:
    mixed = report(Confirmed(BLOCK, 3, 3), transfers=(SCRIPT, OUTPUT))
    assert "2 transfers, the first 0.00000007 BTC" in summary(mixed, "en")
