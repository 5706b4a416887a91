/* The ring: ff_ring_claim(), ff_ring_advance(), ff_ring_publish() and ff_ring_map() of a next
 * writer, against ff_ring_poll() and ff_ring_intact().
 *
 * The writer may be killed between any two of its steps, and the next one maps the same file.
 * It writes other words to the rows that were not published, so that a row of two writers is
 * a torn one. A row is two words, the ring has CAPACITY rows, there are ROWS rows in all: the
 * ring comes round more than twice.
 *
 * One reader: readers store nothing here, so several are as one, and killing one is as if it
 * took no more steps, which is among its ways already.
 *
 * Not modelled: loads that see what is stored later (no machine does this across a fence);
 * machines on which two processes see stores in different orders. */

#ifndef CAPACITY
#define CAPACITY 2
#endif
#ifndef ROWS
#define ROWS 5
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define GENERATIONS (KILLS + 1)
#define WORDS 2
#define CLAIM (CAPACITY * WORDS)
#define PUBLISH (CLAIM + 1)
#define PLACES (PUBLISH + 1)
#define place_of(number, word) (((number) % CAPACITY) * WORDS + (word))
#define content(number) ((number) * GENERATIONS + generation + 1)

inline select_store(chosen) {
    if
    :: under_way[0] -> chosen = 0
    :: under_way[1] -> chosen = 1
    :: under_way[2] -> chosen = 2
    :: under_way[3] -> chosen = 3
#if CAPACITY > 2
    :: under_way[4] -> chosen = 4
    :: under_way[5] -> chosen = 5
    :: under_way[6] -> chosen = 6
    :: under_way[7] -> chosen = 7
#endif
    :: under_way[CLAIM] -> chosen = CLAIM
    :: under_way[PUBLISH] -> chosen = PUBLISH
    fi
}

#include "memory.pml"

byte generation;   /* of the writer: how many were killed before it */
bool to_be_killed; /* the writer's next step is its end */
bool finished;     /* the last writer has published everything */

active proctype Killer() {
    byte left = KILLS;
end:
    do
    :: left > 0 && !to_be_killed && !finished -> to_be_killed = true; left--
    od
}

active proctype Writer() {
    byte head, claimed, many, i, n;
map:
    {
        /* ff_ring_map() */
        head = memory[PUBLISH];
#ifdef FORGET_CLAIM
        claimed = head;
#else
        claimed = memory[CLAIM];
#endif
        do
        :: head < ROWS ->
            /* ff_ring_claim(many), of which n <= many are written. */
            if
            :: many = 1
            :: many = CAPACITY
            fi;
#ifndef CLAIM_LATE
            if
            :: head + many > claimed ->
                claimed = head + many;
                store(CLAIM, claimed);
#ifndef NO_CLAIM_FENCE
                release_fence()
#endif
            :: else
            fi;
#endif
            if
            :: n = 0
            :: head + 1 <= ROWS -> n = 1
            :: many == CAPACITY && head + CAPACITY <= ROWS -> n = CAPACITY
            fi;
            i = 0;
            do
            :: i < n * WORDS ->
                store(place_of(head + i / WORDS, i % WORDS), content(head + i / WORDS));
                i++
            :: else -> break
            od;
#ifdef CLAIM_LATE
            if
            :: head + many > claimed -> claimed = head + many; store(CLAIM, claimed)
            :: else
            fi;
#endif
            head = head + n; /* ff_ring_advance() */
            many = 0; n = 0; i = 0;
            if
            :: head < ROWS /* more of the same batch */
            :: true ->
#ifdef NO_PUBLISH_RELEASE
                store(PUBLISH, head)
#else
                if
                :: head > 0 -> store_release(PUBLISH, head)
                :: else
                fi
#endif
            fi
        :: else -> break
        od;
        store_release(PUBLISH, ROWS);
        release_fence();
        finished = true
    } unless {
        atomic { to_be_killed && stores == 0 ->
            generation++; to_be_killed = false; many = 0; n = 0; i = 0 };
        goto map
    }
}

#define WHOLE(k)                                                                              \
    assert(copy[(k) * WORDS] == copy[(k) * WORDS + 1]);                                       \
    assert((copy[(k) * WORDS] - 1) / GENERATIONS == position + (k))

active proctype Reader() {
    byte first, position, read, lost, overtaken; /* rows */
    byte published, oldest, claim, n, left;
    byte copy[CAPACITY * WORDS];
    bool all, claim_loaded;
    if
    :: true /* it is there from the beginning, */
    :: atomic { /* or comes at any time, and begins with ff_ring_oldest(). */
        claim = memory[CLAIM];
        position = (claim > CAPACITY -> claim - CAPACITY : 0);
        first = position;
        claim = 0
    }
    fi;
    do
    :: atomic { position < ROWS -> all = finished };
        /* ff_ring_poll() */
        published = memory[PUBLISH];
        atomic {
            claim = memory[CLAIM];
            oldest = (claim > CAPACITY -> claim - CAPACITY : 0);
#ifndef NO_CLAMP
            if
            :: oldest > published -> oldest = published
            :: else
            fi;
#endif
            if
#ifndef NO_OLDEST
            :: position < oldest ->
                lost = lost + oldest - position;
                position = oldest;
                assert(position <= published)
#endif
            :: else
            fi;
#ifndef NO_FRONT
            n = (position < published -> published - position : 0);
#else
            n = published - position;
#endif
            assert(n <= CAPACITY);
            assert(!all || published == ROWS);
            oldest = 0; published = 0; claim = 0;
            left = n * WORDS
        };
        if
        :: n > 0 ->
            /* The rows are used, in the order of their words or against it, */
            do
            :: left > 0 ->
                atomic {
                    left--;
                    copy[left] = memory[place_of(position + left / WORDS, left % WORDS)]
                }
#ifdef NO_INTACT_FENCE
            :: !claim_loaded -> atomic { claim = memory[CLAIM]; claim_loaded = true }
#endif
            :: left == 0 -> break
            od;
            /* and ff_ring_intact() is asked. */
            atomic {
                if
                :: !claim_loaded -> claim = memory[CLAIM]
                :: else
                fi;
                claim_loaded = false;
#ifdef NO_INTACT
                claim = 0;
#endif
                if
                :: claim <= position + CAPACITY ->
                    WHOLE(0);
                    if
                    :: n > 1 -> WHOLE(1)
                    :: else
                    fi;
#if CAPACITY > 2
                    if
                    :: n > 2 -> WHOLE(2)
                    :: else
                    fi;
                    if
                    :: n > 3 -> WHOLE(3)
                    :: else
                    fi;
#endif
                    read = read + n
                :: else -> overtaken = overtaken + n
                fi;
                position = position + n;
                assert(read + overtaken + lost == position - first);
                n = 0; claim = 0;
                for (left : 0 .. CAPACITY * WORDS - 1) {
                    copy[left] = 0
                }
                left = 0
            }
        :: else
        fi
    :: position == ROWS -> break
    od
}
