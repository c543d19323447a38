"""configs/*.toml as frozen structs. Unknown keys are refused with the file, the key and the nearest good one.

A folder is found by `find_folder`; each file is read when first needed. Secrets stay references ("keyring:NAME",
"env:NAME") here; `context` resolves them. `policy` stands by itself: a look-up does not load it.
"""

from cryptosupport.settings.chains import (
    AssetSettings,
    ChainSettings,
    Endpoint,
    FeeSettings,
    chain_names,
    load_chain,
)
from cryptosupport.settings.desk import (
    DeskIdentity,
    DeskSettings,
    IntakeSettings,
    KeySettings,
    LedgerSettings,
    PriceSettings,
    load_desk,
)
from cryptosupport.settings.folders import (
    PRESETS,
    data_folder,
    find_folder,
    folder_to_write,
    others_write,
    refuse_writable_by_others,
    write_presets,
)
from cryptosupport.settings.guards import (
    ApprovalSettings,
    FreezeSettings,
    Hook,
    PrivacySettings,
    ScreeningSettings,
)
from cryptosupport.settings.hooks import EventHook
from cryptosupport.settings.values import is_reference, milliseconds
from cryptosupport.settings.wallets import FloatSettings, WalletSettings, amount_faults, load_wallets

__all__ = [
    "PRESETS",
    "ApprovalSettings",
    "AssetSettings",
    "ChainSettings",
    "DeskIdentity",
    "DeskSettings",
    "Endpoint",
    "EventHook",
    "FeeSettings",
    "FloatSettings",
    "FreezeSettings",
    "Hook",
    "IntakeSettings",
    "KeySettings",
    "LedgerSettings",
    "PriceSettings",
    "PrivacySettings",
    "ScreeningSettings",
    "WalletSettings",
    "amount_faults",
    "chain_names",
    "data_folder",
    "find_folder",
    "folder_to_write",
    "is_reference",
    "load_chain",
    "load_desk",
    "load_wallets",
    "milliseconds",
    "others_write",
    "refuse_writable_by_others",
    "write_presets",
]
