"""What support leads paste."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptosupport.domain.errors import NotATxid
from cryptosupport.domain.identifiers import Pasted, explorer, is_secret, parse_txid, shortened

HEX = "0a" * 32
EXPLORERS = [
    *explorer("ethereum", "https://etherscan.io/tx/{txid}"),
    *explorer("bitcoin", "https://mempool.space/tx/{txid}", ["blockstream.info", "www.blockchain.com"]),
    *explorer("bitcoin-testnet4", "https://mempool.space/testnet4/tx/{txid}"),
]


@pytest.mark.parametrize(
    ("text", "id_"),
    [
        (HEX, HEX),
        (HEX.upper(), HEX),
        (f"0x{HEX}", f"0x{HEX}"),
        (f"0X{HEX.upper()}", f"0x{HEX}"),
        (f"  {HEX}\n", HEX),
        (f"“{HEX}”".replace("“", '"').replace("”", '"'), HEX),
        (f"<{HEX}>,", HEX),
        (f"\ufeff{HEX[:9]}\u200b{HEX[9:]}", HEX),
        (f"\u202a0x{HEX}\u202c", f"0x{HEX}"),
    ],
)
def test_an_id_is_found_under_what_mail_programs_add(text: str, id_: str) -> None:
    assert parse_txid(text) == Pasted(id_)


@pytest.mark.parametrize(
    ("link", "id_", "chain"),
    [
        (f"https://etherscan.io/tx/0x{HEX}#eventlog", f"0x{HEX}", "ethereum"),
        (f"etherscan.io/tx/0x{HEX}", f"0x{HEX}", "ethereum"),
        (f"https://mempool.space/tx/{HEX}", HEX, "bitcoin"),
        (f"https://mempool.space/testnet4/tx/{HEX}", HEX, "bitcoin-testnet4"),
        (f"https://mempool.space/signet/tx/{HEX}", HEX, None),
        (f"https://blockstream.info/zh/tx/{HEX}", HEX, "bitcoin"),
        (f"https://blockstream.info/tx/{HEX}?expand", HEX, "bitcoin"),
        (f"https://blockchain.com/explorer/transactions/btc/{HEX}", HEX, "bitcoin"),
        (f"https://unknown.example/#/tx/0x{HEX}", f"0x{HEX}", None),
        (f"https://unknown.example/?tx=0x{HEX}", f"0x{HEX}", None),
        (f"https://etherscan.io.evil.example/tx/0x{HEX}", f"0x{HEX}", None),
        (f"https://etherscan.io@evil.example/tx/0x{HEX}", f"0x{HEX}", None),
    ],
)
def test_an_explorer_link_names_the_chain_by_its_host(link: str, id_: str, chain: str | None) -> None:
    assert parse_txid(link, EXPLORERS) == Pasted(id_, chain)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing was given"),
        ("0x12…ab", "cut short"),
        ("0a0a0a0a...0a0a0a0a", "cut short"),
        ("0x52908400098527886E0F7030069857D2E4169EE7", "is an address"),
        ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "looks like an address"),
        ("1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "looks like an address"),
        ("TJRabPrwbZy45sbavfcjinPJC18kjpRTv8", "looks like an address"),
        ("https://etherscan.io/address/0x52908400098527886E0F7030069857D2E4169EE7", "leads to an address"),
        ("https://etherscan.io/", "holds no transaction id"),
        ("http://[::1/tx", "not a link"),
        (HEX[:-1], "has 63 hex digits"),
        (f"0x{HEX}00", "has 66 hex digits"),
        ("840000", "block height"),
        ("16097417-2", "block height or an index"),
        ("5" * 88, "Solana"),
        ("hello", "is not a transaction id"),
        ("a" * 100_000, "line of 100000 characters"),
    ],
)
def test_what_is_no_id_is_told_what_it_is(text: str, said: str) -> None:
    with pytest.raises(NotATxid, match=said) as caught:
        parse_txid(text, EXPLORERS)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ",  # WIF, https://en.bitcoin.it/wiki/Wallet_import_format
        "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn",  # the key 1
        "KwDiBf89QgGbjEhKn\u200bhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn",
        "https://explorer.example/key/KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn",
        "xprv" + "9" * 107,
        "abandon " * 11 + "about",
        "abandon, " * 11 + "about",
        "abandon," * 11 + "about",
        "'abandon'; " * 11 + "'about'",
        "abandon\uff0c" * 11 + "about",
    ],
)
def test_a_private_key_is_not_repeated(text: str) -> None:
    assert is_secret(text)
    assert shortened(text) == "…"
    with pytest.raises(NotATxid) as caught:
        parse_txid(text, EXPLORERS)
    said = f"{caught.value.message} {caught.value.facts}"
    assert not [part for part in ("5Hue", "KwDi", "xprv", "abandon", "999", "HnoWn") if part in said]


@pytest.mark.parametrize(
    "text", [HEX, HEX[:51], "9" * 52, "c" + "1" * 51, "1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "hello you", "a,b,c"]
)
def test_what_is_no_private_key_is_not_taken_for_one(text: str) -> None:
    assert not is_secret(text)


@pytest.mark.parametrize("text", ["KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn", "abandon " * 11 + "about"])
def test_who_pastes_a_private_key_is_warned(text: str) -> None:
    with pytest.raises(NotATxid, match="private key or a recovery phrase, not a transaction id: never paste it"):
        parse_txid(text)


@given(st.text())
def test_any_text_is_an_id_or_is_refused_in_printable_words(text: str) -> None:
    try:
        pasted = parse_txid(text, EXPLORERS)
    except NotATxid as error:
        refused = error.message
        assert refused.isprintable()
    else:
        assert len(pasted.text.removeprefix("0x")) == 64


@given(st.text(alphabet="0123456789abcdefABCDEFxX …./-:", min_size=30, max_size=90))
def test_text_that_is_nearly_an_id_is_refused_or_read(text: str) -> None:
    try:
        parse_txid(text, EXPLORERS)
    except NotATxid as error:
        refused = error.message
        assert refused.isprintable()
