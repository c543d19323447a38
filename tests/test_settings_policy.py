"""policy.toml: what it says is what counts, and what cannot be kept as it is written is refused with rule and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import BadSettings
from cryptosupport.domain.money import Quantity
from cryptosupport.domain.policy.decision import BESIDE, Outcome
from cryptosupport.domain.policy.periods import Calendar, Lifetime, Sliding, Unit
from cryptosupport.domain.policy.rules import EVIDENCE, MATCHABLE, Per, Policy, Rule
from cryptosupport.domain.withdrawals import canonical
from cryptosupport.settings import PRESETS
from cryptosupport.settings.policy import load_policy, load_policy_file, policy_of
from tests.test_settings import uncommented

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
def policy(tmp_path: Path) -> Any:
    """The policy that a text says."""

    def load(text: str, timezone: str = "UTC") -> Policy:
        (tmp_path / "policy.toml").write_text(text, encoding="utf-8")
        return load_policy(tmp_path, timezone)

    return load


def rule(*lines: str, name: str = "r") -> str:
    return "\n".join(("[[rules]]", f'name = "{name}"', *lines, ""))


# -- what it says ----------------------------------------------------------------------------------------------------


def test_the_shipped_policy_says_what_its_comments_tell(policy: Any) -> None:
    read = policy(uncommented("policy.toml"))
    assert read.tiers == ("basic", "verified", "vip")
    verified = {"tier": frozenset({"verified", "vip"})}
    assert {each.name: each for each in read.rules} == {
        each.name: each
        for each in (
            Rule(
                "btc-per-transaction",
                {"asset": frozenset({"BTC"})},
                max_amount=Quantity(2, 0),
                on_exceed=Outcome.DENY,
            ),
            Rule(
                "customer-day-basic",
                {"tier": frozenset({"basic"})},
                Per.CUSTOMER,
                Sliding(DAY),
                max_value=2000 * 10**6,
            ),
            Rule("customer-day", verified, Per.CUSTOMER, Sliding(DAY), max_value=50_000 * 10**6),
            Rule("desk-hour", {}, Per.GLOBAL, Sliding(HOUR), max_value=250_000 * 10**6),
            Rule("desk-day", {}, Per.GLOBAL, Calendar(Unit.DAY, "UTC"), max_value=10**12),
            Rule("desk-any-24h", {}, Per.GLOBAL, Sliding(DAY), max_value=1_500_000 * 10**6),
            Rule("second-pair-of-eyes", above_value=10_000 * 10**6, approvals=1),
            Rule("new-destination", cooling=DAY),
            Rule("identity", verified, require=("identity", "two_factor"), max_age=DAY),
        )
    }


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("allow = true",), Rule("r", allow=True)),
        (
            ("deny = true", "match = { country = ['KP', 'IR'] }"),
            Rule("r", {"country": frozenset(["KP", "IR"])}, deny=True),
        ),
        (('max_percent = "2.5%"',), Rule("r", max_percent=Quantity(25, 1))),
        (('max_value = "0.000001 USD"',), Rule("r", max_value=1)),
        (
            ('per = "destination"', "lifetime = true", "max_count = 0", 'on_exceed = "hold"'),
            Rule("r", {}, Per.DESTINATION, Lifetime(), max_count=0, on_exceed=Outcome.HOLD),
        ),
        (
            ('per = "asset"', 'window = "90m"', 'max_amount = "1"', 'max_value = "2 USD"', 'on_exceed = "wait"'),
            Rule("r", {}, Per.ASSET, Sliding(90 * 60_000), Quantity(1, 0), 2 * 10**6, on_exceed=Outcome.WAIT),
        ),
        (
            ('per = "wallet"', 'calendar = "month"', 'timezone = "Asia/Tokyo"', 'max_amount = "1.50"'),
            Rule("r", {}, Per.WALLET, Calendar(Unit.MONTH, "Asia/Tokyo"), Quantity(15, 1)),
        ),
        (
            ('per = "customer"', 'window = "1h"', 'above_amount = "3"', 'above_value = "4 USD"', "approvals = 2"),
            Rule("r", {}, Per.CUSTOMER, Sliding(HOUR), above_amount=Quantity(3, 0), above_value=4 * 10**6, approvals=2),
        ),
        (("approvals = 20",), Rule("r", approvals=20)),
        (('cooling = "2d"', 'on_exceed = "deny"'), Rule("r", cooling=2 * DAY, on_exceed=Outcome.DENY)),
        (('require = ["two_factor", "balance"]',), Rule("r", require=("balance", "two_factor"))),
    ],
)
def test_a_rule_is_read_as_it_is_written(policy: Any, lines: tuple[str, ...], expected: Rule) -> None:
    assert policy(rule(*lines)).rules == (expected,)


def test_without_a_file_and_with_the_shipped_one_there_are_no_rules(tmp_path: Path) -> None:
    absent, shipped = load_policy(tmp_path), load_policy(PRESETS)
    assert absent.rules == shipped.rules == ()
    assert absent.hash == shipped.hash


def test_a_draft_has_any_name(tmp_path: Path) -> None:
    draft = tmp_path / "stricter.draft"
    draft.write_text(rule("allow = true"), encoding="utf-8")
    assert [each.name for each in load_policy_file(draft).rules] == ["r"]
    with pytest.raises(BadSettings, match=r"none\.toml cannot be read: No such file"):
        load_policy_file(tmp_path / "none.toml")


def test_a_calendar_without_a_time_zone_has_that_of_the_desk(policy: Any) -> None:
    text = rule('per = "global"', 'calendar = "day"', 'max_value = "1 USD"')
    here, there = policy(text, "Europe/Berlin"), policy(text, "America/New_York")
    assert here.rules[0].period == Calendar(Unit.DAY, "Europe/Berlin")
    assert here.hash != there.hash
    assert policy(rule('timezone = "Europe/Berlin"') + text.partition("\n")[2].partition("\n")[2]).hash == here.hash


# -- what makes the hash ---------------------------------------------------------------------------------------------

POLICY = """
tiers = ["basic", "vip"]
[[rules]]
name = "a"
match = { asset = ["ETH", "BTC"], chain = "ethereum" }
per = "customer"
window = "24h"
max_amount = "2"
on_exceed = "hold"
[[rules]]
name = "b"
require = ["identity", "two_factor"]
max_age = "24h"
"""
SAME = """# A comment.
rules = [
    { max_age = "24h", require = ["two_factor", "identity", "identity"], name = "b" },
    SAME_A,
]
tiers = ["basic",
         "vip"]
"""
SAME_A = """{ name = "\\u0061", on_exceed = 'hold', max_amount = "2", per = "customer", window = '''24h''', """
SAME_A += """match = { chain = ["ethereum"], asset = ["BTC", "ETH", "BTC"] } }"""


def test_layout_comments_and_order_do_not_change_the_hash(policy: Any) -> None:
    first = policy(POLICY)
    same = policy(SAME.replace("SAME_A", SAME_A))
    assert same == first
    assert same.hash == first.hash


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('["basic", "vip"]', '["vip", "basic"]'),
        ('["basic", "vip"]', '["basic"]'),
        ('name = "a"', 'name = "c"'),
        ('["ETH", "BTC"]', '"ETH"'),
        ('chain = "ethereum"', 'chain = "bsc"'),
        (', chain = "ethereum"', ""),
        ('"customer"', '"destination"'),
        ('window = "24h"', 'window = "25h"'),
        ('window = "24h"', 'calendar = "day"'),
        ('max_amount = "2"', 'max_amount = "3"'),
        ('max_amount = "2"', 'max_value = "2 USD"'),
        ('on_exceed = "hold"', 'on_exceed = "deny"'),
        ('on_exceed = "hold"', ""),
        ('require = ["identity", "two_factor"]', 'require = ["identity"]'),
        ('max_age = "24h"', 'max_age = "23h"'),
        ('max_age = "24h"', ""),
    ],
)
def test_every_other_value_changes_the_hash(policy: Any, old: str, new: str) -> None:
    assert POLICY.count(old) == 1 or old == 'name = "a"'
    assert policy(POLICY.replace(old, new)).hash != policy(POLICY).hash


def test_the_hash_of_a_policy_stays_what_it_is_from_version_to_version(policy: Any) -> None:
    assert policy(POLICY).text == (
        '{"rules":[{"match":{"asset":["BTC","ETH"],"chain":["ethereum"]},"max_amount":"2","name":"a","on_exceed":"hold",'
        '"per":"customer","window":"24h"},{"max_age":"24h","name":"b","require":["identity","two_factor"]}],'
        '"tiers":["basic","vip"]}'
    )
    assert policy("").text == '{"rules":[]}'


# -- what is refused -------------------------------------------------------------------------------------------------

SUM = ('per = "customer"', 'window = "24h"')
LIMIT = 'max_amount = "1"'
BAD_RULES = [
    # a key, or what stands under it
    (('max_amout = "1"',), "unknown key 'max_amout'; did you mean 'max_amount'?"),
    (('limit = "1"',), "unknown key 'limit'; known here: above_amount, above_value, allow"),
    (("max_amount = 2.5",), 'max_amount: 2.5 is a number: write it in quotes, like "2.5"'),
    (("max_amount = 2",), "max_amount: 2 is a number: write it in quotes"),
    (("max_amount = true",), "max_amount: this is no text: write it in quotes"),
    (("max_amount = nan",), "max_amount: nan is a number: write it in quotes"),
    (("max_amount = 2026-01-01",), "max_amount: this is no text"),
    (('max_amount = ["1"]',), "max_amount: this is no text"),
    *(
        ((f'max_amount = "{text}"',), f"max_amount: '{text}' is not an amount")
        for text in ("-1", "+1", "1e3", "1,000", "1_000", "0x10", "NaN", "", " 1", "1.", ".5", "1.2.3", "٣", "1 BTC")
    ),
    ((f'max_amount = "{"9" * 5000}"',), "is too long for a number"),
    (('max_value = "2000"',), "max_value: '2000': write it like \"2000 USD\""),
    (('max_value = "2000 EUR"',), "write it like"),
    (('max_value = "USD"',), "write it like"),
    (('max_value = "1,5 USD"',), "max_value: '1,5' is not an amount"),
    (('max_value = "-5 USD"',), "max_value: '-5' is not an amount"),
    (('max_value = "0.0000001 USD"',), "has 7 decimals, and USD has at most 6 here"),
    (("max_value = 2000",), 'max_value: 2000 is a number: write it in quotes, like "2000 USD"'),
    (('max_percent = "5"',), "max_percent: '5': write it like 20%"),
    (('max_percent = "-5%"',), "max_percent: '-5' is not an amount"),
    (("max_percent = 0.05",), "max_percent: 0.05 is a number"),
    ((*SUM, "max_count = -1"), "max_count: -1: write a whole number from 0 to 1000000000, without quotes"),
    ((*SUM, "max_count = 2.0"), "max_count: 2.0: write a whole number"),
    ((*SUM, "max_count = true"), "max_count: True: write a whole number"),
    ((*SUM, 'max_count = "2"'), "max_count: '2': write a whole number"),
    (("approvals = 0",), "approvals: 0: write a whole number from 1 to 20"),
    (("approvals = 21",), "approvals: 21: write a whole number from 1 to 20"),
    (("allow = false",), "allow: False: write true, or leave it out"),
    (('deny = "true"',), "deny: 'true': write true, or leave it out"),
    ((LIMIT, 'per = "customer"', "lifetime = 1"), "lifetime: 1: write true, or leave it out"),
    ((LIMIT, 'per = "country"', 'window = "1h"'), "per: 'country': write one of customer, destination, wallet, asset"),
    ((LIMIT, 'per = "customer"', 'window = "0h"'), "window: '0h': it has to be above zero"),
    ((LIMIT, 'per = "customer"', 'window = "1 day"'), "window: '1 day' is not a duration: write 250ms, 12s, 15m, 48h"),
    ((LIMIT, 'per = "customer"', "window = 24"), 'window: 24 is a number: write it in quotes, like "24h"'),
    ((LIMIT, 'per = "customer"', 'calendar = "year"'), "calendar: 'year': write one of day, week, month, in quotes"),
    (
        (LIMIT, 'per = "customer"', 'calendar = "day"', 'timezone = "Europe/Berlln"'),
        "timezone: 'Europe/Berlln' is not a time zone; did you mean 'Europe/Berlin'?",
    ),
    ((LIMIT, 'per = "customer"', 'calendar = "day"', 'timezone = "../UTC"'), "timezone: '../UTC' is not a time zone"),
    ((LIMIT, 'per = "customer"', 'calendar = "day"', 'timezone = "Europe"'), "timezone: 'Europe' is not a time zone"),
    ((LIMIT, 'per = "customer"', 'calendar = "day"', 'timezone = "+02:00"'), "timezone: '+02:00' is not a time zone"),
    ((LIMIT, 'on_exceed = "allow"'), "on_exceed: 'allow': write one of deny, hold, wait, in quotes"),
    ((LIMIT, 'on_exceed = "approval"'), "on_exceed: 'approval': write one of"),
    (('cooling = "-1h"',), "cooling: '-1h' is not a duration"),
    (('require = "identity"',), 'require: write texts in quotes, like ["one", "two"]'),
    (("require = []",), "require: name at least one of identity, two_factor"),
    (('require = ["identiy"]',), "require: 'identiy' is no evidence; did you mean 'identity'?"),
    (('require = ["identity"]', 'max_age = "0s"'), "max_age: '0s': it has to be above zero"),
    ((LIMIT, 'match = "BTC"'), 'match: write it like { asset = "BTC" }, or leave it out'),
    ((LIMIT, "match = {}"), "match: write it like"),
    ((LIMIT, 'match = { assets = "BTC" }'), "match: unknown key 'assets'; did you mean 'asset'?"),
    ((LIMIT, "match = { asset = [] }"), "match: asset: nothing would match: name at least one"),
    ((LIMIT, 'match = { asset = "" }'), "match: '' is empty or holds what cannot be seen"),
    ((LIMIT, 'match = { asset = ["BTC\\u200b"] }'), "is empty or holds what cannot be seen"),
    ((LIMIT, "match = { asset = 3 }"), "match: write texts in quotes"),
    ((LIMIT, "match = { asset = [3] }"), "match: write texts in quotes"),
    # keys that do not go together
    ((), "it does nothing: add max_amount, max_value, max_count, max_percent, allow, deny, approvals, cooling or"),
    (SUM, "it does nothing"),
    (('match = { asset = "BTC" }',), "it does nothing"),
    ((LIMIT, "allow = true"), "it mixes limits and allow: write two rules"),
    ((LIMIT, "approvals = 1"), "it mixes limits and approvals: write two rules"),
    ((LIMIT, 'above_value = "1 USD"'), "it mixes limits and approvals: write two rules"),
    (("allow = true", "deny = true"), "it mixes allow and deny: write two rules"),
    (('cooling = "1h"', 'require = ["identity"]'), "it mixes cooling and require: write two rules"),
    (('cooling = "1h"', 'max_age = "1h"'), "it mixes cooling and require: write two rules"),
    (('above_value = "1 USD"',), "above_amount and above_value say when to ask: add approvals = 1"),
    (('max_age = "1h"',), "max_age is how old evidence may be: add require"),
    (('require = ["balance"]', 'max_age = "1h"'), "max_age: balance comes without a time: leave max_age out"),
    ((LIMIT, 'per = "customer"'), "per needs a period to sum over"),
    (
        (LIMIT, 'window = "24h"'),
        "window needs per, whose withdrawals to sum: customer, destination, wallet",
    ),
    ((LIMIT, *SUM, 'calendar = "day"'), "window and calendar: give one of them"),
    ((LIMIT, *SUM, "lifetime = true"), "window and lifetime: give one of them"),
    ((LIMIT, *SUM, 'timezone = "UTC"'), "timezone is for calendar periods: leave it out"),
    (("allow = true", *SUM), "allow speaks of one request: leave per and window out"),
    (("deny = true", *SUM), "deny speaks of one request"),
    (('cooling = "1h"', *SUM), "cooling speaks of one request"),
    (('require = ["identity"]', *SUM), "require speaks of one request"),
    (("max_count = 3",), "max_count counts over a period: add per and window"),
    (("approvals = 1", *SUM), "approvals over a period need above_amount or above_value"),
    (("allow = true", 'on_exceed = "hold"'), "on_exceed: allow exceeds nothing: leave it out"),
    (("approvals = 1", 'on_exceed = "hold"'), "on_exceed: approvals exceeds nothing"),
    (
        (LIMIT, 'per = "global"', "lifetime = true", 'on_exceed = "wait"'),
        "no headroom ever returns to a lifetime limit: write",
    ),
]


@pytest.mark.parametrize(("lines", "said"), BAD_RULES)
def test_a_rule_that_cannot_be_kept_is_refused_with_its_name(
    policy: Any, tmp_path: Path, lines: tuple[str, ...], said: str
) -> None:
    with pytest.raises(BadSettings) as caught:
        policy(rule("allow = true", name="sound") + rule(*lines, name="desk 1"))
    assert caught.value.exit_code == 8
    assert caught.value.message.startswith(f"{tmp_path / 'policy.toml'} rule 'desk 1': ")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule = []", "policy.toml: unknown key 'rule'; did you mean 'rules'?"),
        ("[rules]\nname = 'a'", "policy.toml: rules: begin each with [[rules]] on a line of its own"),
        ("rules = ['a']", "rules: begin each with [[rules]]"),
        ('tiers = "basic"', "policy.toml: tiers: write texts in quotes"),
        ("tiers = [1]", "tiers: write texts in quotes"),
        ('tiers = [""]', "tiers: '' is empty"),
        ('tiers = ["a", "b", "a"]', "tiers: one is named twice"),
        ("[[rules]]\nallow = true", "policy.toml rule 1: it has no name: add name = "),
        ('[[rules]]\nname = ""\nallow = true', "rule 1: name: use 1 to 100 characters"),
        ("[[rules]]\nname = 3\nallow = true", "rule 1: name: 3 is a number: write it in quotes"),
        (rule("allow = true", name="x" * 101), "name: use 1 to 100 characters that can be seen"),
        (rule("allow = true", name=" x"), "and no blank at an end"),
        (rule("allow = true", name="a\\tb"), "characters that can be seen"),
        (rule("allow = true") + rule("deny = true"), "policy.toml: two rules have the name 'r': give each its own"),
        ("[[rules]]\nname = 'a'\nname = 'b'", "policy.toml is not valid TOML"),
        ("[[rules]", "policy.toml is not valid TOML"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(policy: Any, text: str, said: str) -> None:
    with pytest.raises(BadSettings, match=re.escape(said)):
        policy(text)


def test_a_link_that_leads_nowhere_is_not_taken_for_an_absent_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").symlink_to("nowhere")
    with pytest.raises(BadSettings, match=r"policy\.toml cannot be read"):
        load_policy(tmp_path)


SURROGATE = '{"rules":[{"name":"\\ud800","allow":true}]}'


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rules":3}', SURROGATE, "[" * 5000], ids=lambda text: text[:20])
def test_a_text_that_no_policy_has_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match=r"^the ledger"):
        policy_of(text, "the ledger")


# -- any policy ------------------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=8)
DIGITS = st.integers(0, 10**30).map(str)
NUMBERS = st.one_of(DIGITS, st.tuples(DIGITS, st.from_regex(r"\A[0-9]{1,18}\Z")).map(".".join))
USD = st.tuples(DIGITS, st.from_regex(r"\A[0-9]{1,6}\Z")).map(lambda parts: f"{'.'.join(parts)} USD")
SPANS = st.tuples(st.integers(1, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"])).map(
    lambda span: f"{span[0]}{span[1]}"
)
PERIODS = st.one_of(
    st.fixed_dictionaries({"window": SPANS}),
    st.fixed_dictionaries(
        {"calendar": st.sampled_from([*Unit]).map(str)},
        optional={"timezone": st.sampled_from(["UTC", "Asia/Shanghai", "Europe/Berlin"])},
    ),
    st.just({"lifetime": True}),
)
SUMS = st.tuples(st.sampled_from([*Per]).map(str), PERIODS).map(lambda both: {"per": both[0], **both[1]})
EXCEED = st.fixed_dictionaries({}, optional={"on_exceed": st.sampled_from(["deny", "hold"])})


def together(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda tables: {key: value for table in tables for key, value in table.items()})


LIMITS = {"max_amount": NUMBERS, "max_value": USD, "max_percent": NUMBERS.map(lambda text: f"{text}%")}
BODIES = st.one_of(
    *(together(st.fixed_dictionaries({key: LIMITS[key]}), EXCEED) for key in LIMITS),
    together(st.fixed_dictionaries({"max_count": st.integers(0, 10**9)}, optional=LIMITS), SUMS, EXCEED),
    st.sampled_from([{"allow": True}, {"deny": True}]),
    st.fixed_dictionaries({"approvals": st.integers(1, 20)}, optional={"above_amount": NUMBERS, "above_value": USD}),
    together(st.fixed_dictionaries({"approvals": st.integers(1, 20), "above_value": USD}), SUMS),
    together(st.fixed_dictionaries({"cooling": SPANS}), EXCEED),
    together(st.fixed_dictionaries({"require": st.lists(st.sampled_from(EVIDENCE), min_size=1)}), EXCEED),
    st.fixed_dictionaries({"require": st.just(["identity", "beneficiary"]), "max_age": SPANS}),
)
MATCHES = st.dictionaries(
    st.sampled_from([name for name in MATCHABLE if name != "country"]),
    st.one_of(WORDS, st.lists(WORDS, min_size=1)),
    min_size=1,
)
NAMES = WORDS.filter(lambda name: name not in BESIDE)
RULES = st.lists(
    together(st.fixed_dictionaries({"name": NAMES}, optional={"match": MATCHES}), BODIES),
    unique_by=lambda table: str(table["name"]),
)


@given(RULES, st.lists(WORDS, unique=True), st.randoms())
def test_the_text_of_any_policy_says_all_of_it(rules: list[dict[str, Any]], tiers: list[str], chance: Any) -> None:
    read = policy_of(canonical({"rules": rules, "tiers": tiers}).decode(), "a file")
    assert len(read.rules) == len(rules)
    assert policy_of(read.text, "the ledger") == read
    chance.shuffle(rules)
    again = policy_of(canonical({"tiers": tiers, "rules": rules}).decode(), "a file")
    assert again == read
    assert again.hash == read.hash


@pytest.mark.parametrize("name", ["default deny", "hard cap", "run cap", "hot wallet"])
def test_a_rule_cannot_speak_as_the_program_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / "policy.toml").write_text(f'[[rules]]\nname = "{name}"\nallow = true\n', encoding="utf-8")
    with pytest.raises(BadSettings, match="choose another"):
        load_policy(tmp_path)


def test_a_country_is_two_capital_letters(tmp_path: Path) -> None:
    rule = '[[rules]]\nname = "kp"\nmatch = { country = ["kp"] }\ndeny = true\n'
    (tmp_path / "policy.toml").write_text(rule, encoding="utf-8")
    with pytest.raises(BadSettings, match="two capital letters"):
        load_policy(tmp_path)
