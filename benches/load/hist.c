/*
 * hist.c - a histogram with buckets of a constant relative width, as HdrHistogram has.
 */
#include "load.h"

#include <inttypes.h>

static size_t bucket_of(uint64_t value)
{
    unsigned int log = 63 - (unsigned int)__builtin_clzll(value | 1);
    size_t bucket = value;

    if (log >= HIST_SUB)
        bucket = ((size_t)(log - HIST_SUB) << HIST_SUB) + (value >> (log - HIST_SUB));
    return bucket < HIST_SIZE ? bucket : HIST_SIZE - 1;
}

/* The largest value of a bucket. */
static uint64_t value_of(size_t bucket)
{
    size_t shift = bucket >> HIST_SUB;

    if (shift <= 1)
        return bucket;
    shift--;
    return ((bucket - (shift << HIST_SUB) + 1) << shift) - 1;
}

void hist_add(struct hist *hist, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;

    hist->count++;
    hist->sum += value;
    hist->max = value > hist->max ? value : hist->max;
    hist->buckets[bucket_of(value)]++;
}

static uint64_t percentile(const struct hist *hist, uint64_t per_mille)
{
    uint64_t rank = (hist->count * per_mille + 999) / 1000, seen = 0;
    size_t i;

    for (i = 0; i < HIST_SIZE; i++)
        if ((seen += hist->buckets[i]) >= rank && seen > 0)
            return value_of(i) < hist->max ? value_of(i) : hist->max;
    return 0;
}

void hist_print(const struct hist *hist)
{
    const char *comma = "";
    size_t i;

    printf("\"count\":%" PRIu64 ",\"mean\":%" PRIu64 ",\"p50\":%" PRIu64 ",\"p99\":%" PRIu64
           ",\"p999\":%" PRIu64 ",\"max\":%" PRIu64 ",\"buckets\":[",
           hist->count, hist->count ? hist->sum / hist->count : 0, percentile(hist, 500),
           percentile(hist, 990), percentile(hist, 999), hist->max);
    for (i = 0; i < HIST_SIZE; i++) {
        if (hist->buckets[i] == 0)
            continue;
        printf("%s[%" PRIu64 ",%" PRIu64 "]", comma, value_of(i), hist->buckets[i]);
        comma = ",";
    }
    printf("]");
}
