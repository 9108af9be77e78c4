/*
 * A latency histogram with logarithmic buckets: 128 per power of two, so a
 * percentile is at most 0.8 % above the true value. The largest value is exact.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_STEPS 128
#define HISTOGRAM_BUCKETS (58 * HISTOGRAM_STEPS)

struct histogram {
  uint64_t count;
  uint64_t sum;
  uint64_t largest;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t nanoseconds);

/* The smallest bucket bound that `share` (0..1) of all values do not exceed. */
uint64_t histogram_percentile(const struct histogram *histogram, double share);

/* Writes {"count":..,"mean":..,"p50":..,"p90":..,"p99":..,"p999":..,"max":..}, in microseconds. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
