/* Memory in which one process writes and others read, as a machine may show it that keeps
 * stores back and gives them up in any order: each place has at most one store that is under
 * way. Included by ring.pml and latest.pml, which define PLACES.
 *
 * More than TSO allows, so what holds here holds on x86, and for these protocols this is what
 * ARM64 allows on the writer's side: what one other process sees, all see. Its readers' side,
 * where loads pass each other, is in the models: loads between two fences come in any order. */

byte memory[PLACES];
byte under_way[PLACES]; /* 0 = nothing: no model stores a 0 */
byte stores;            /* that are under way */

inline store(place, value) {
    atomic {
        under_way[place] == 0;
        under_way[place] = value;
        stores++
    }
}

/* All that was stored before can be seen before all that is stored from here on. */
inline release_fence() {
    stores == 0
}

/* All that was stored before can be seen before this. */
inline store_release(place, value) {
    release_fence();
    store(place, value)
}

/* What a process stored before it was killed gets there. */
active proctype Store_buffer() {
    byte chosen;
end:
    do
    :: atomic {
        stores > 0;
        select_store(chosen);
        memory[chosen] = under_way[chosen];
        under_way[chosen] = 0;
        stores--;
        chosen = 0
    }
    od
}
