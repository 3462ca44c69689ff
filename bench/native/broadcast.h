/* The broadcast that source.c sends: PAT and PMT every 80 ms and before each keyframe, one video PES packet per
 * frame at 25 a second, PCR with each of them, a keyframe (random_access_indicator, SPS, PPS, IDR slice) each second.
 * Deterministic but for the marks; nothing that follows the first packet of a frame can be decoded.
 */
#ifndef BROADCAST_H
#define BROADCAST_H

#include "bench.h"

typedef struct {
    uint32_t channel;
    int per_frame;
    uint64_t index, seq; /* of all packets, of the video packets */
    uint8_t cc_pat, cc_pmt, cc_video;
} broadcast_t;

static uint8_t filler[PACKET], pat_section[32], pmt_section[32];
static int pat_size, pmt_size;

static uint32_t crc32_mpeg(const uint8_t *p, int n) {
    uint32_t crc = 0xFFFFFFFFu;
    while (n--) {
        crc ^= (uint32_t)*p++ << 24;
        for (int i = 0; i < 8; i++) crc = crc & 0x80000000u ? crc << 1 ^ 0x04C11DB7u : crc << 1;
    }
    return crc;
}

static int close_section(uint8_t *section, int size) {
    uint32_t crc = crc32_mpeg(section, size);
    for (int i = 0; i < 4; i++) section[size + i] = (uint8_t)(crc >> (24 - 8 * i));
    return size + 4;
}

static void prepare_broadcast(void) {
    static const uint8_t pat[] = {0x00, 0xB0, 13, 0x00, 0x01, 0xC1, 0, 0, 0, 1, 0xE0 | PID_PMT >> 8, PID_PMT & 0xFF};
    static const uint8_t pmt[] = {0x02, 0xB0, 18, 0, 1, 0xC1, 0, 0, 0xE0 | PID_VIDEO >> 8, PID_VIDEO & 0xFF,
                                  0xF0, 0, 0x1B, 0xE0 | PID_VIDEO >> 8, PID_VIDEO & 0xFF, 0xF0, 0};
    uint32_t x = 2463534242u;
    for (int i = 0; i < PACKET; i++) { /* no zero in it, hence no start code */
        x ^= x << 13, x ^= x >> 17, x ^= x << 5;
        filler[i] = (uint8_t)(x % 255 + 1);
    }
    memcpy(pat_section, pat, sizeof pat);
    memcpy(pmt_section, pmt, sizeof pmt);
    pat_size = close_section(pat_section, sizeof pat);
    pmt_size = close_section(pmt_section, sizeof pmt);
}

static inline void put_head(uint8_t *p, int pid, int start, uint8_t cc) {
    p[0] = 0x47;
    p[1] = (uint8_t)((start ? 0x40 : 0) | pid >> 8);
    p[2] = (uint8_t)pid;
    p[3] = 0x30 | (cc & 15);
}

static inline void put_mark(uint8_t *p, const broadcast_t *b, uint64_t sent_ns) {
    mark_t mark = {MAGIC, b->channel, b->seq, sent_ns};
    p[-1] = sizeof mark;
    memcpy(p, &mark, sizeof mark);
}

/* A packet that holds one table. */
static void put_table(uint8_t *p, int pid, uint8_t cc, const uint8_t *section, int size) {
    put_head(p, pid, 1, cc);
    p[3] ^= 0x20; /* no adaptation field */
    p[4] = 0;     /* pointer_field */
    memcpy(p + 5, section, (size_t)size);
    memset(p + 5 + size, 0xFF, (size_t)(PACKET - 5 - size));
}

static uint8_t *put_stamp(uint8_t *p, uint64_t pts) {
    p[0] = (uint8_t)(0x21 | (pts >> 29 & 0x0E));
    p[1] = (uint8_t)(pts >> 22);
    p[2] = (uint8_t)(0x01 | (pts >> 14 & 0xFE));
    p[3] = (uint8_t)(pts >> 7);
    p[4] = (uint8_t)(0x01 | (pts << 1 & 0xFE));
    return p + 5;
}

/* The first packet of a frame: PCR, PES header, access unit delimiter, and the beginning of a picture. */
static void put_frame_start(uint8_t *p, uint64_t frame) {
    static const uint8_t pes[] = {0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5};
    static const uint8_t key[] = {0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 0x64, 0, 0x28, 0xAC, 0xD9, 0x40, 0x78, 2,
                                  0x27, 0xE5, 0xC0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3, 0, 0xC8, 0x3C, 0x60, 0xC6, 0x58,
                                  0, 0, 0, 1, 0x68, 0xEB, 0xE3, 0xCB, 0x22, 0xC0, 0, 0, 1, 0x65, 0x88, 0x84};
    static const uint8_t other[] = {0, 0, 0, 1, 9, 0x30, 0, 0, 0, 1, 0x41, 0x9A, 0x24, 0x6C};
    int is_key = frame % FPS == 0;
    uint64_t pcr = (frame * (90000 / FPS)) & 0x1FFFFFFFFull, pts = (pcr + 18000) & 0x1FFFFFFFFull;
    p[4] = 32;
    p[5] = (uint8_t)(0x12 | (is_key ? 0x40 : 0));
    for (int i = 0; i < 4; i++) p[6 + i] = (uint8_t)(pcr >> (25 - 8 * i));
    p[10] = (uint8_t)((pcr & 1) << 7 | 0x7E);
    p[11] = 0;
    uint8_t *at = p + 37;
    memcpy(at, pes, sizeof pes);
    at = put_stamp(at + sizeof pes, pts);
    memcpy(at, is_key ? key : other, is_key ? sizeof key : sizeof other);
}

/* Make the next packet. */
static void next_packet(broadcast_t *b, uint8_t *p, uint64_t sent_ns) {
    uint64_t frame = b->index / (uint64_t)b->per_frame;
    int slot = (int)(b->index++ % (uint64_t)b->per_frame), tables = frame % FPS % 2 == 0;
    if (tables && slot == 0) return put_table(p, PID_PAT, b->cc_pat++, pat_section, pat_size);
    if (tables && slot == 1) return put_table(p, PID_PMT, b->cc_pmt++, pmt_section, pmt_size);
    int start = slot == (tables ? 2 : 0);
    memcpy(p, filler, PACKET);
    put_head(p, PID_VIDEO, start, b->cc_video++);
    p[4] = 26; /* adaptation_field_length, then flags: transport_private_data */
    p[5] = 0x02;
    if (start) put_frame_start(p, frame);
    put_mark(p + (start ? MARK_AT_PCR : MARK_AT), b, sent_ns);
    b->seq++;
}

#endif
