/* The last row of a symbol: ff_latest_begin() and ff_latest_end() against ff_latest_copy().
 *
 * The writer may be killed between any two of its steps. The next one goes on with the same
 * table, which is more than ff_latest_map() allows. A row is two words; its content says which
 * version it is of which writer, so that a row of two puts is a torn one. One reader: readers
 * store nothing.
 *
 * Not modelled: the index of places (a slot's number is stored, release, after its memory is
 * there); that a put may keep the part of a row that is the same as two versions before; what
 * ring.pml does not model either. */

#ifndef PUTS
#define PUTS 4
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define GENERATIONS (KILLS + 1)
#define WORDS 2
#define VERSION 4
#define PLACES 5
#ifdef ONE_ROW
#define place_of(version, word) (word)
#else
#define place_of(version, word) (((version) % 2) * WORDS + (word))
#endif
#define content(version) ((version) * GENERATIONS + generation + 1)

inline select_store(chosen) {
    if
    :: under_way[0] -> chosen = 0
    :: under_way[1] -> chosen = 1
    :: under_way[2] -> chosen = 2
    :: under_way[3] -> chosen = 3
    :: under_way[VERSION] -> chosen = VERSION
    fi
}

#include "memory.pml"

byte generation;
bool to_be_killed;
bool finished;

active proctype Killer() {
    byte left = KILLS;
end:
    do
    :: left > 0 && !to_be_killed && !finished -> to_be_killed = true; left--
    od
}

active proctype Writer() {
    byte version, word;
map:
    {
        version = memory[VERSION];
        do
        :: version < PUTS ->
            version++;
#ifndef NO_BEGIN_FENCE
            release_fence(); /* ff_latest_begin() */
#endif
            word = 0;
            do
            :: word < WORDS -> store(place_of(version, word), content(version)); word++
            :: else -> break
            od;
#ifdef NO_END_RELEASE
            store(VERSION, version)
#else
            store_release(VERSION, version) /* ff_latest_end() */
#endif
        :: else -> break
        od;
        release_fence();
        finished = true
    } unless {
        atomic { to_be_killed && stores == 0 -> generation++; to_be_killed = false; word = 0 };
        goto map
    }
}

active proctype Reader() {
    byte version, again, last, left;
    byte copy[WORDS];
    bool again_loaded, all;
    do
    :: last < PUTS ->
        atomic { all = finished; version = memory[VERSION] };
        assert(version >= last);
        assert(!all || version == PUTS);
        if
        :: version > 0 ->
            left = WORDS;
            do
            :: left > 0 ->
                atomic { left--; copy[left] = memory[place_of(version, left)] }
#ifdef NO_COPY_FENCE
            :: !again_loaded -> atomic { again = memory[VERSION]; again_loaded = true }
#endif
            :: left == 0 -> break
            od;
            atomic {
                if
                :: !again_loaded -> again = memory[VERSION]
                :: else
                fi;
                again_loaded = false;
#ifdef NO_CHECK
                again = version;
#endif
                if
                :: again == version ->
                    assert(copy[0] == copy[1]);
                    assert((copy[0] - 1) / GENERATIONS == version);
                    last = version
                :: else /* overtaken: once more */
                fi;
                copy[0] = 0; copy[1] = 0; again = 0; version = 0
            }
        :: else
        fi
    :: last == PUTS -> break
    od
}
