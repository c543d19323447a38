"""One plain sentence and the next step, in every language."""

import re
from string import Formatter

import pytest

from cryptosupport.domain.transactions import FailureCode, Replaced, TxReport
from cryptosupport.domain.wording import advice, en, iso_time, summary, supported, zh
from tests.domain.reports import every_report, report

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


def test_times_are_utc() -> None:
    assert iso_time(1_700_000_000) == "2023-11-14T22:13:20Z"
