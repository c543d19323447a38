"""The desk's rules: pure functions and frozen records, standard library only, no clock, no network, no float."""
