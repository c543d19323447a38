"""Which withdrawals may leave, and why. Pure: facts in, a `Decision` out.

`rules` says what a rule is, `periods` over how long it sums, `windows` what is summed under which key, `tallies` keeps
the sums, `judging` lets every rule speak, `decision` is what comes of it, `booking` enters it into the sums and decides
again what waits. `why` explains, `lint` examines a policy, `replay` runs one over history, `compare` proves of two
that one only tightens, by what each rule `demands`, and tells the difference as `spelling` spells rules.
"""
