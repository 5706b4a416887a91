/* Sleeping and waking: ff_ring_publish() and ff_ring_wake() against ff_ring_wait(), with the
 * kernel's futex as "compare and sleep in one step" and "wake all".
 *
 * The writer and the readers may be killed between any two of their steps, readers also while
 * they sleep; another one takes the place of each. With TSO each process has a buffer of
 * stores that others see later, in their order; it is empty after a fence, an atomic
 * read-modify-write and a system call. Without TSO memory is sequentially consistent.
 *
 * Time-outs are left out, since one would hide a lost wake-up: when nothing can go on any more,
 * nobody may sleep who has rows to read.
 *
 * Not modelled: weaker orders than TSO as such; where ARM64 needs more than x86 the two steps
 * change places here (NO_RUNG_ACQUIRE, NO_RUNG_RELEASE). 2^32 wake-ups between a reader's look
 * at `rung` and its sleep. Readers that write nonsense to the bell. */

#ifndef READERS
#define READERS 2
#endif
#ifndef PUBLISHES
#define PUBLISHES 3
#endif
#ifndef WRITER_KILLS
#define WRITER_KILLS 1
#endif
#ifndef READER_KILLS
#define READER_KILLS 1
#endif
#define WRITER READERS

mtype = { PUBLISH, WANTED };

byte published;
byte rung;
bit wanted;
byte position[READERS];
bool asleep[READERS];
bool to_be_killed[READERS + 1];
bool finished;

#ifdef TSO
chan buffer[READERS + 1] = [2] of { mtype, byte };
#define drained(me) (len(buffer[me]) == 0)
#define store(me, what, value) buffer[me]!what,value
#else
#define drained(me) true
#define store(me, what, value) see(what, value)
#endif

inline see(what, value) {
    atomic {
        if
        :: what == PUBLISH -> published = value
        :: what == WANTED -> wanted = value
        fi
    }
}

#ifdef TSO
proctype Store_buffer(byte me) {
    mtype what;
    byte value;
end:
    do
    :: atomic { buffer[me]?what,value -> see(what, value); what = 0; value = 0 }
    od
}
#endif

active proctype Killer() {
    byte writers = WRITER_KILLS, readers = READER_KILLS, who;
    do
    :: writers > 0 && !finished && !to_be_killed[WRITER] ->
        to_be_killed[WRITER] = true;
        writers--
    :: atomic { readers > 0 -> select(who : 0 .. READERS - 1) };
        atomic { !to_be_killed[who] -> to_be_killed[who] = true; readers--; who = 0 }
    :: break
    od
}

/* ff_ring_wake() */
inline wake() {
#ifdef NO_RUNG_RELEASE
    atomic { drained(WRITER) -> rung++ };
    store(WRITER, WANTED, 0);
#else
    store(WRITER, WANTED, 0);
    atomic { drained(WRITER) -> rung++ };
#endif
    atomic {
        drained(WRITER);
        for (sleeper : 0 .. READERS - 1) {
            asleep[sleeper] = false
        }
        sleeper = 0
    }
}

active proctype Writer() {
    byte head, sleeper;
map:
    {
        head = published;
#ifndef NO_WAKE_AT_START
        wake();
#endif
        do
        :: head < PUBLISHES ->
            /* ff_ring_publish() */
            head++;
            store(WRITER, PUBLISH, head);
#ifndef NO_PUBLISH_FENCE
            drained(WRITER);
#endif
            if
            :: wanted -> wake()
            :: else
            fi
        :: break /* there need not be more */
        od;
        finished = true
    } unless {
        atomic { to_be_killed[WRITER] && drained(WRITER) ->
            to_be_killed[WRITER] = false; sleeper = 0 };
        goto map
    }
}

proctype Reader(byte me) {
    byte seen;
wait:
    {
        do
        :: atomic { published > position[me] -> position[me] = published }
        :: published <= position[me] ->
            /* sleep_for() */
#ifdef NO_RUNG_ACQUIRE
            store(me, WANTED, 1);
            seen = rung;
#else
            seen = rung;
#ifndef NO_WANTED
            store(me, WANTED, 1);
#endif
#endif
#ifndef NO_SLEEP_FENCE
            drained(me);
#endif
#ifndef NO_SECOND_LOOK
            if
            :: published > position[me] -> goto wait
            :: else
            fi;
#endif
#ifdef RUNG_LATE
            seen = rung;
#endif
            atomic {
                drained(me);
                if
#ifdef NO_COMPARE
                :: true -> asleep[me] = true
#else
                :: rung == seen -> asleep[me] = true
                :: else
#endif
                fi;
                seen = 0
            };
end_asleep:
            !asleep[me]
        od
    } unless {
        /* The next one in its place begins with the next row. */
        atomic { to_be_killed[me] && drained(me) ->
            to_be_killed[me] = false; asleep[me] = false; seen = 0;
            position[me] = published };
        goto wait
    }
}

init {
    byte i;
    atomic {
        for (i : 0 .. READERS - 1) {
            run Reader(i)
        }
#ifdef TSO
        for (i : 0 .. READERS) {
            run Store_buffer(i)
        }
#endif
        i = 0
    }
    timeout;
    assert(finished);
    for (i : 0 .. READERS - 1) {
        assert(!(asleep[i] && published > position[i]));
        assert(asleep[i])
    }
}
