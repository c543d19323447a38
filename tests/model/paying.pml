/*
 * The paying protocol of docs/withdrawals.md: one hot wallet on a chain of accounts, two withdrawals, two workers.
 * How it is run, what it covers and what it leaves out: docs/model.md. tests/model/test_paying_model.py runs it.
 *
 * MUT_... breaks one rule: what then goes wrong has to be found. The rules that they break:
 *
 *   MUT_STORE_AFTER_BROADCAST   the bytes of an attempt are stored before a node hears of them
 *   MUT_NO_FENCE                who lost the lease writes nothing any more
 *   MUT_NOT_FOUND_IS_UNPAID     what a node does not find is not unpaid
 *   MUT_FRESH_NONCE_ON_BUMP     a bump has the nonce of what it replaces
 *   MUT_REFUND_ON_TIMEOUT       no answer says nothing
 *   MUT_UNFINAL_IS_FINAL        only what is final ends a payout
 *   MUT_SEND_ONCE               what is stored is sent until it is mined
 *   MUT_NO_SIGNER_STORE         the signer signs one nonce for one withdrawal, and remembers it
 *   MUT_SELF_SEND_ANYWHERE      that holds for the self-send too
 *   MUT_SIGN_ANEW               the signer gives the same bytes for the same attempt
 * and, with a backup of the ledger that is put back (RESTORE):
 *   MUT_NO_GUARD                a ledger that knows less than the chain or the signer pays nothing
 *   MUT_GUARD_BY_NONCE          the guard compares the numbers of attempts, not only nonces
 *   MUT_RESTORE_KEEPS_LEASE     a restored ledger has no lease
 *   MUT_CANCEL_UNTOLD           the signer is told of a cancel before the customer is
 *   MUT_SIGNER_IN_BACKUP        the signer's store is not put back with the ledger
 *
 * ASK_SIGNER adds a rule: a transaction that the ledger does not know, but the signer signed, proves nothing dead.
 * ONE_WORKER, ONE_WITHDRAWAL make it smaller, BOTH_RICH larger. PROGRESS checks that all ends. NEVER=STATE claims that
 * no payout ends so, NO_ALARM that the guard stops nobody: a crash between two steps is no restored backup.
 */

#define N 3        /* nonces there are */
#define PAYS 2     /* different bytes that the payments of one withdrawal may have; one more is its self-send */
#define CANCEL PAYS
#define BITS 3     /* PAYS + 1 */

#define BIT(w, id) (1 << ((w) * BITS + (id)))
#define MINED(n) ((cell[n] - 1) % 6)   /* the bit of what is mined there */
#define FAILED(n) (cell[n] > 6)
#define WHOSE(n) (MINED(n) / BITS)
#define IS_CANCEL(n) (MINED(n) % BITS == CANCEL)

/* where a withdrawal stands in the ledger */
#define APPROVED 0
#define LIVE 1
#define FINAL 2
#define REVERTED 3
#define CANCELLED 4
#define DEAD 5

/* an attempt that has no bytes yet */
#define NO_ROW 0
#define PAY_ROW 1
#define CANCEL_ROW 2

typedef Record {   /* one withdrawal and its payout, in the ledger */
    byte state;
    byte nonce;
    byte has;      /* ids whose bytes are stored */
    byte row;      /* the newest attempt, while it has no bytes */
    byte number;   /* attempts recorded */
}

/* the ledger; a lease is known by its holder: who lost it and has it anew has a new token */
Record ledger[2];
byte place;        /* the next nonce that nothing has */
byte holder;       /* worker + 1 */

/* the signer's own store */
byte signed_nonce[2];   /* nonce + 1 that a withdrawal was signed for */
byte signed_number[2];  /* the highest attempt signed */
byte signatures[2];     /* how many payments: each has bytes of its own, as long as there are some */
bool voided[2];         /* never to be signed */

/* the network */
byte given[N];     /* BIT of everything that ever was handed out with that nonce */
byte cell[N];      /* what is mined: 1 + bit, and 6 more where it failed */
byte mined;
byte finalised;
bool calm;         /* nothing is lost any more, and worker 0 lives */

/* what the world knows, whatever is restored */
bool refunded[2];
byte paid[2];

/* -- the rules ----------------------------------------------------------------------------------------------------- */

#ifdef MUT_NO_FENCE
#define MAY_WRITE true
#else
#define MAY_WRITE (holder == me + 1)
#endif

/* the payout in the ledger is still as the worker has it */
#define SAME (ledger[w].state == LIVE && ledger[w].nonce == nonce && ledger[w].row == row && ledger[w].number == number)

#ifdef MUT_UNFINAL_IS_FINAL
#define CERTAIN mined
#else
#define CERTAIN finalised
#endif

#define OURS(n) (WHOSE(n) == w && (has & (1 << (MINED(n) % BITS))))
#ifdef ASK_SIGNER
#define STRANGE 0      /* all that has this nonce was signed here: the ledger has forgotten something */
#else
#define STRANGE DEAD
#endif

/* the guard (B13): whether the chain or the signer knows more than the ledger */
#define NONCE_AHEAD(w) (signed_nonce[w] && (ledger[w].state == APPROVED || ledger[w].nonce + 1 != signed_nonce[w]))
#ifdef MUT_GUARD_BY_NONCE
#define NUMBER_AHEAD(w) false
#else
#define NUMBER_AHEAD(w) (signed_number[w] > ledger[w].number)
#endif
#define AHEAD(w) (NONCE_AHEAD(w) || NUMBER_AHEAD(w))
#ifdef MUT_NO_GUARD
#define BEHIND false
#elif defined(MUT_NO_SIGNER_STORE)
#define BEHIND (mined > place)
#else
#define BEHIND (mined > place || AHEAD(0) || AHEAD(1))
#endif

/* the signer (B12) */
#ifdef MUT_NO_SIGNER_STORE
#define FITS true
#else
#define FITS (signed_nonce[w] == 0 || signed_nonce[w] == nonce + 1)
#endif
#define WOULD_PAY (FITS && !voided[w])
#ifdef MUT_SELF_SEND_ANYWHERE
#define WOULD_SELF_SEND true
#else
#define WOULD_SELF_SEND FITS
#endif

/* -- what may go wrong --------------------------------------------------------------------------------------------- */

#ifdef PROGRESS
#define ROUGH (!calm)
#define ALIVE (!calm || me == 0)
#define NEXT w = 1 - w
#else
#define ROUGH true
#define ALIVE true
#define NEXT w = 0
#endif

#ifdef BOTH_RICH
#define RICH(w) true
#else
#define RICH(w) ((w) == 0)   /* the other one is never bumped or taken back, and does not revert */
#endif

#define AGAIN nonce = 0; has = 0; row = NO_ROW; number = 0; id = 0; NEXT; goto start
#define MAY_CRASH :: ROUGH -> AGAIN

/* the customer has the money back */
inline refund(w) {
    assert(paid[w] == 0);
    refunded[w] = true
}

/* bytes go out: what has a nonce that is final is refused for ever */
inline give() {
    given[nonce] = (nonce >= finalised -> given[nonce] | BIT(w, id) : 0)
}

#ifdef MUT_REFUND_ON_TIMEOUT
/* no answer, so it is not paid */
inline give_up() {
    if
    :: MAY_WRITE && ledger[w].state == LIVE -> ledger[w].state = CANCELLED; ledger[w].has = 0; refund(w)
    :: else
    fi
}
#endif

/* -- a worker: passes over one withdrawal each ------------------------------------------------------------------- */

proctype Worker(bit me) {
    bit w;
    byte nonce;    /* these four are its copy of the record */
    byte has;
    byte row;
    byte number;
    byte id;       /* what the signer gave, what is sent, what a look says */

start:
    /* a lease: the other's may be over at any moment, asleep or not. Then the guard. */
end:
    atomic {
        ALIVE && (ledger[0].state < FINAL || ledger[1].state < FINAL);
        holder = me + 1;
#ifdef NO_ALARM
        assert(!BEHIND);
#endif
        if
        :: BEHIND -> goto start
        :: else
        fi
    }
    /* read */
    atomic {
#ifdef PROGRESS
        if
        :: ledger[w].state < FINAL
        :: else -> AGAIN
        fi;
#else
        if
        :: ledger[0].state < FINAL -> w = 0
        :: ledger[1].state < FINAL -> w = 1
        :: else -> AGAIN
        fi;
#endif
        nonce = ledger[w].nonce; has = ledger[w].has; row = ledger[w].row; number = ledger[w].number;
        if
        :: ledger[w].state == APPROVED -> goto reserve
        :: ledger[w].state == LIVE && row -> goto sign
        :: ledger[w].state == LIVE && !row ->
#ifdef MUT_SEND_ONCE
            goto look
#else
            goto send
#endif
        :: else -> AGAIN
        fi
    }
reserve: /* one transaction: the nonce and the attempt */
    atomic {
        if
        :: MAY_WRITE && ledger[w].state == APPROVED && place < N ->
            nonce = place; place++;
            has = 0; row = PAY_ROW; number = 1;
            ledger[w].state = LIVE; ledger[w].nonce = nonce; ledger[w].has = has; ledger[w].row = row;
            ledger[w].number = number
        :: else -> AGAIN
        fi
    }
sign: /* the signer looks into its own store, and writes there, before anybody sees the bytes */
    atomic {
        if
        MAY_CRASH
        :: row == CANCEL_ROW && WOULD_SELF_SEND ->
            id = CANCEL;
            signed_nonce[w] = nonce + 1;
            signed_number[w] = (number > signed_number[w] -> number : signed_number[w])
        :: row == PAY_ROW && WOULD_PAY ->
#ifdef MUT_SIGN_ANEW
            id = (signatures[w] < PAYS -> signatures[w] : PAYS - 1);
            signatures[w] = id + 1;
#else
            id = number - 1; /* an attempt that was signed before gets the same bytes */
#endif
            signed_nonce[w] = nonce + 1;
            signed_number[w] = (number > signed_number[w] -> number : signed_number[w])
        :: row == PAY_ROW && !WOULD_PAY -> goto cancel
        :: row == CANCEL_ROW && !WOULD_SELF_SEND -> AGAIN
        fi
    }
#ifdef MUT_STORE_AFTER_BROADCAST
    atomic {
        if
        MAY_CRASH
        :: give()
        fi
    }
#endif
store: /* the second transaction: the record as it is now; the attempt has to be there, without bytes */
    atomic {
        if
        MAY_CRASH
        :: MAY_WRITE && SAME ->
            has = has | (1 << id); row = NO_ROW;
            ledger[w].has = has; ledger[w].row = row
        :: else -> AGAIN
        fi
    }
send: /* whoever is stale may still do this: the bytes are known */
    atomic {
        if
        :: has & 1 -> id = 0
        :: has & 2 -> id = 1
        :: has & 4 -> id = CANCEL
        :: else -> goto look
        fi;
        if
        MAY_CRASH
        :: give() /* taken, and answered or not */
        :: ROUGH -> skip /* lost or refused on the way */
#ifdef MUT_REFUND_ON_TIMEOUT
        :: ROUGH -> id = 0; give_up()
#endif
        fi;
        id = 0
    }
look: /* id is the state that follows; 0: nothing that is final has the nonce, or the node says so falsely */
    atomic {
        if
        MAY_CRASH
        :: ROUGH -> id = 0
        :: nonce >= CERTAIN -> id = 0
        :: nonce < CERTAIN ->
            if
            :: !OURS(nonce) -> id = STRANGE /* something that the ledger does not know has the nonce */
            :: OURS(nonce) && IS_CANCEL(nonce) -> id = CANCELLED
            :: OURS(nonce) && !IS_CANCEL(nonce) && FAILED(nonce) -> id = REVERTED
            :: OURS(nonce) && !IS_CANCEL(nonce) && !FAILED(nonce) -> id = FINAL
            fi
        fi;
        if
        :: id -> nonce = 0; has = 0; row = NO_ROW; number = 0; goto conclude
        :: else
        fi
    }
#ifdef MUT_NOT_FOUND_IS_UNPAID
    atomic {
        if
        :: MAY_WRITE && ledger[w].state == LIVE ->
            ledger[w].state = APPROVED; ledger[w].nonce = 0; ledger[w].has = 0; ledger[w].row = NO_ROW;
            ledger[w].number = 0
        :: else
        fi;
        AGAIN
    }
#endif
    /* not there: another attempt, or enough for now */
    atomic {
        if
        :: ROUGH && RICH(w) && number == 1 -> goto bump
        :: ROUGH && RICH(w) && number < 3 && !(has & (1 << CANCEL)) -> goto cancel
        :: true -> AGAIN
        fi
    }
bump:
    atomic {
        if
        MAY_CRASH
        :: MAY_WRITE && SAME ->
#ifdef MUT_FRESH_NONCE_ON_BUMP
            if
            :: place < N -> nonce = place; place++; has = 0; ledger[w].nonce = nonce; ledger[w].has = has
            :: else -> AGAIN
            fi;
#endif
            row = PAY_ROW; number++; ledger[w].row = row; ledger[w].number = number;
            id = 0;
            goto sign
        :: else -> AGAIN
        fi
    }
cancel: /* a self-send on the same nonce, after whatever was there */
    atomic {
        if
        MAY_CRASH
        :: MAY_WRITE && SAME ->
            row = CANCEL_ROW; number++; ledger[w].row = row; ledger[w].number = number;
            id = 0;
            goto sign
        :: else -> AGAIN
        fi
    }
conclude:
    atomic {
        if
        MAY_CRASH
        :: MAY_WRITE && ledger[w].state == LIVE ->
            ledger[w].state = id; ledger[w].has = 0;
#ifdef NEVER
            assert(id != NEVER);
#endif
            if
            :: id == FINAL -> assert(paid[w] == 1)
            :: else -> refund(w) /* at DEAD too: M2 says that a person may now */
            fi
        :: else
        fi;
        AGAIN
    }
}

/* -- the network --------------------------------------------------------------------------------------------------- */

inline mine(bit_) {
    (given[mined] & (1 << bit_)) && !cell[mined];
    if
    :: cell[mined] = 1 + bit_
    :: RICH(bit_ / BITS) && bit_ % BITS != CANCEL -> cell[mined] = 7 + bit_
    fi;
    mined++
}

active proctype Network() {
end:
    do
    :: atomic { mined < N && (given[mined] & 1) -> mine(0) }
    :: atomic { mined < N && (given[mined] & 2) -> mine(1) }
    :: atomic { mined < N && (given[mined] & 4) -> mine(2) }
    :: atomic { mined < N && (given[mined] & 8) -> mine(3) }
    :: atomic { mined < N && (given[mined] & 16) -> mine(4) }
    :: atomic { mined < N && (given[mined] & 32) -> mine(5) }
    :: atomic { ROUGH && mined > finalised -> mined--; cell[mined] = 0 }
    :: atomic {
        mined > finalised ->
        if
        :: !FAILED(finalised) && !IS_CANCEL(finalised) ->
            assert(!refunded[WHOSE(finalised)]);
            paid[WHOSE(finalised)]++;
            assert(paid[WHOSE(finalised)] == 1)
        :: else
        fi;
        given[finalised] = 0;
        finalised++
    }
#ifdef PROGRESS
    :: atomic { !calm -> calm = true }
#endif
    od
}

/* -- people -------------------------------------------------------------------------------------------------------- */

/* A customer takes the first withdrawal back. Before an attempt is signed that counts at once. */
active proctype Person() {
    if
#ifndef MUT_CANCEL_UNTOLD
    :: atomic { ledger[0].state == APPROVED && !signed_nonce[0] -> voided[0] = true };
#else
    :: ledger[0].state == APPROVED ->
#endif
       atomic {
           if
           :: ledger[0].state == APPROVED -> ledger[0].state = CANCELLED; refund(0)
           :: else
           fi
       }
    :: true
    fi
}

#ifdef RESTORE
inline copy(to, from) {
    to.state = from.state; to.nonce = from.nonce; to.has = from.has; to.row = from.row; to.number = from.number
}

inline forget(record) {
    record.state = 0; record.nonce = 0; record.has = 0; record.row = 0; record.number = 0
}

/* An operator makes a backup at some moment, and puts it back at some later one. */
active proctype Operator() {
    Record saved[2];
    byte saved_place;
    byte saved_holder;
#ifdef MUT_SIGNER_IN_BACKUP
    byte saved_nonce[2];
    byte saved_number[2];
    bool saved_voided[2];
#endif
end:
    d_step {
        place || holder; /* before the first lease there is nothing to save */
        copy(saved[0], ledger[0]); copy(saved[1], ledger[1]); saved_place = place;
#ifdef MUT_RESTORE_KEEPS_LEASE
        saved_holder = holder;
#endif
#ifdef MUT_SIGNER_IN_BACKUP
        saved_nonce[0] = signed_nonce[0]; saved_number[0] = signed_number[0]; saved_voided[0] = voided[0];
        saved_nonce[1] = signed_nonce[1]; saved_number[1] = signed_number[1]; saved_voided[1] = voided[1];
#endif
        skip
    }
    d_step {
        copy(ledger[0], saved[0]); copy(ledger[1], saved[1]); place = saved_place; holder = saved_holder;
        forget(saved[0]); forget(saved[1]); saved_place = 0; saved_holder = 0;
#ifdef MUT_SIGNER_IN_BACKUP
        signed_nonce[0] = saved_nonce[0]; signed_number[0] = saved_number[0]; voided[0] = saved_voided[0];
        signed_nonce[1] = saved_nonce[1]; signed_number[1] = saved_number[1]; voided[1] = saved_voided[1];
        saved_nonce[0] = 0; saved_number[0] = 0; saved_voided[0] = false;
        saved_nonce[1] = 0; saved_number[1] = 0; saved_voided[1] = false;
#endif
        skip
    }
}
#endif

init {
    atomic {
#ifdef ONE_WITHDRAWAL
        ledger[1].state = FINAL;
#endif
        run Worker(0);
#ifndef ONE_WORKER
        run Worker(1)
#endif
    }
}

#ifdef PROGRESS
ltl ends { (<> [] calm) -> <> (ledger[0].state >= FINAL && ledger[1].state >= FINAL) }
#endif
