/* A histogram of times (6 % wide buckets from 1 us to an hour) and percentiles of lists. */
#ifndef STATS_H
#define STATS_H

#include "bench.h"

enum { BUCKETS = 16 * 40 };

typedef struct {
    uint64_t count, at[BUCKETS];
    uint64_t highest_ns;
} histogram_t;

static inline void histogram_add(histogram_t *h, uint64_t ns) {
    uint64_t units = ns / 64 + 16; /* 64 ns units keep the arithmetic whole */
    int exponent = 63 - __builtin_clzll(units);
    int bucket = (exponent - 4) * 16 + (int)(units >> (exponent - 4) & 15);
    h->at[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    h->count++;
    if (ns > h->highest_ns) h->highest_ns = ns;
}

/* Upper end of a bucket in milliseconds. */
static inline double bucket_ms(int bucket) {
    double units = (double)((uint64_t)(16 + bucket % 16 + 1) << (bucket / 16)) - 16;
    return units * 64 / 1e6;
}

static double histogram_at(const histogram_t *h, double share) {
    uint64_t wanted = (uint64_t)(share * (double)h->count), seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += h->at[i];
        if (seen > wanted) return bucket_ms(i) < (double)h->highest_ns / 1e6 ? bucket_ms(i) : (double)h->highest_ns / 1e6;
    }
    return (double)h->highest_ns / 1e6;
}

static inline void print_histogram(const char *name, const histogram_t *h) {
    printf("\"%s\": {\"count\": %llu, \"p50\": %.3f, \"p90\": %.3f, \"p99\": %.3f, \"max\": %.3f, \"buckets\": [", name,
           (unsigned long long)h->count, histogram_at(h, .5), histogram_at(h, .9), histogram_at(h, .99),
           (double)h->highest_ns / 1e6);
    const char *comma = "";
    for (int i = 0; i < BUCKETS; i++)
        if (h->at[i]) {
            printf("%s[%.4f, %llu]", comma, bucket_ms(i), (unsigned long long)h->at[i]);
            comma = ", ";
        }
    printf("]}, ");
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Print percentiles of a list, which gets sorted. */
static inline void print_list(const char *name, double *values, int n) {
    qsort(values, (size_t)n, sizeof *values, by_size);
    if (!n) {
        printf("\"%s\": null, ", name);
        return;
    }
    printf("\"%s\": {\"count\": %d, \"min\": %.4f, \"p50\": %.4f, \"p90\": %.4f, \"p99\": %.4f, \"max\": %.4f}, ", name, n,
           values[0], values[n / 2], values[(int)(n * .9)], values[(int)(n * .99)], values[n - 1]);
}

#endif
