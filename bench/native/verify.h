/* Checks what a client receives, packet by packet, by looking at the first 37 bytes of each.
 *
 * In order: sync byte, mark, channel, sequence without a gap, continuity counters of each PID. A jump forward of the
 * sequence is a skip; it is clean if PAT and PMT came right before it and a random-access point follows. The counters
 * of tables may jump only where the sequence does, or where a packet without payload says so by its
 * discontinuity_indicator (ISO/IEC 13818-1 2.4.3.4); those packets are counted as breaks.
 */
#ifndef VERIFY_H
#define VERIFY_H

#include "bench.h"

typedef struct {
    uint64_t packets, sync_lost, foreign, cc_errors, repeats, skips_clean, skips_dirty, nulls, breaks;
} faults_t;

typedef struct {
    uint8_t carry[PACKET];
    int carried, in_step, began;
    int tables;       /* 1: PAT, 2: PMT, since the last video packet */
    int table_jumps;  /* of their counters; forgiven if the sequence jumps as well, without breaks */
    int breaks;       /* since the last video packet */
    int clean_start, cc[3]; /* of PAT, PMT, video; -1 before the first */
    uint32_t channel;
    uint64_t next_seq, first_key_ns;
    faults_t faults;
} verifier_t;

/* Called for the age of one packet in 16. */
typedef void (*age_fn)(void *context, uint64_t sent_ns);

static void verifier_begin(verifier_t *v) {
    memset(v, 0, sizeof *v);
    v->cc[0] = v->cc[1] = v->cc[2] = -1;
    v->in_step = 1;
}

static inline int find_mark(const uint8_t *p, mark_t *mark) {
    if (!(p[3] & 0x20)) return 0;
    memcpy(mark, p + (p[5] & 0x10 ? MARK_AT_PCR : MARK_AT), sizeof *mark);
    return mark->magic == MAGIC;
}

/* Take note of a counter; says whether it is not the one after the last. */
static inline int counter_jumps(verifier_t *v, int which, uint8_t cc) {
    int jumps = v->cc[which] >= 0 && ((v->cc[which] + 1) & 15) != cc;
    v->cc[which] = cc;
    return jumps;
}

/* Whether a packet has no payload and a discontinuity_indicator: its counter begins anew after it. */
static inline int is_break(const uint8_t *p) {
    return (p[3] & 0x30) == 0x20 && p[4] && p[5] & 0x80;
}

/* The sequence jumped: say what it was. */
static void judge_jump(verifier_t *v, const uint8_t *p, uint64_t seq) {
    int clean = v->tables == 3 && p[1] & 0x40 && p[5] & 0x40;
    if (!v->began) v->clean_start = clean;
    else if (seq < v->next_seq) v->faults.repeats++;
    else if (clean) v->faults.skips_clean++;
    else v->faults.skips_dirty++;
    if (v->breaks) return; /* what the counters are to be now was said */
    v->table_jumps = 0;
    v->cc[2] = -1;
}

static inline void check_packet(verifier_t *v, const uint8_t *p, uint64_t now, age_fn age, void *context) {
    int pid = pid_of(p);
    mark_t mark;
    v->faults.packets++;
    if ((pid == PID_PAT || pid == PID_PMT || pid == PID_VIDEO) && is_break(p)) {
        v->faults.breaks++, v->breaks++;
        v->cc[pid == PID_VIDEO ? 2 : pid == PID_PMT] = p[3] & 15;
        return;
    }
    if (pid == PID_PAT || pid == PID_PMT) {
        v->tables = pid == PID_PAT ? 1 : v->tables | 2;
        v->table_jumps += counter_jumps(v, pid == PID_PMT, p[3] & 15);
        return;
    }
    if (pid == PID_NULL) {
        v->faults.nulls++;
        return;
    }
    if (pid != PID_VIDEO || !find_mark(p, &mark) || (v->began && mark.channel != v->channel)) {
        v->faults.foreign++;
        return;
    }
    if (!v->began || mark.seq != v->next_seq) judge_jump(v, p, mark.seq);
    if (!v->began) v->channel = mark.channel; /* from here on no other one's packets may come */
    v->began = 1;
    v->next_seq = mark.seq + 1;
    v->faults.cc_errors += (uint64_t)(v->table_jumps + counter_jumps(v, 2, p[3] & 15));
    v->tables = v->table_jumps = v->breaks = 0;
    if (!v->first_key_ns && p[5] & 0x40) v->first_key_ns = now;
    if (mark.sent_ns && (mark.seq & 15) == 0) age(context, mark.sent_ns);
}

/* Whether a packet begins here, for getting into step again. */
static inline int looks_right(const uint8_t *p) {
    mark_t mark;
    int pid = pid_of(p);
    return p[0] == 0x47 && (find_mark(p, &mark) || is_break(p) || pid == PID_PAT || pid == PID_PMT || pid == PID_NULL);
}

static void verify(verifier_t *v, const uint8_t *p, size_t n, uint64_t now, age_fn age, void *context) {
    if (v->carried) {
        size_t more = (size_t)(PACKET - v->carried) < n ? (size_t)(PACKET - v->carried) : n;
        memcpy(v->carry + v->carried, p, more);
        v->carried += (int)more, p += more, n -= more;
        if (v->carried < PACKET) return;
        v->carried = 0;
        if (v->carry[0] == 0x47) check_packet(v, v->carry, now, age, context);
        else v->faults.sync_lost++, v->in_step = 0;
    }
    while (n >= PACKET) {
        if (!(v->in_step ? p[0] == 0x47 : looks_right(p))) {
            v->faults.sync_lost += (uint64_t)v->in_step;
            v->in_step = 0;
            p++, n--;
            continue;
        }
        v->in_step = 1;
        check_packet(v, p, now, age, context);
        p += PACKET, n -= PACKET;
    }
    memcpy(v->carry, p, n);
    v->carried = (int)n;
}

#endif
