/*
 * The latency histogram; see histogram.h.
 */
#include "histogram.h"

#include <string.h>

/* Values below 128 have a bucket each; above, the seven bits after the leading
 * one choose the bucket within its power of two. */
static unsigned bucket_of(uint64_t value) {
  if (value < HISTOGRAM_STEPS) return (unsigned)value;
  unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 7u;
  return (shift + 1) * HISTOGRAM_STEPS + (unsigned)((value >> shift) & (HISTOGRAM_STEPS - 1));
}

static uint64_t largest_in_bucket(unsigned bucket) {
  if (bucket < HISTOGRAM_STEPS) return bucket;
  unsigned shift = bucket / HISTOGRAM_STEPS - 1;
  uint64_t base = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS);
  return ((base + 1) << shift) - 1;
}

void histogram_clear(struct histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

void histogram_add(struct histogram *histogram, uint64_t nanoseconds) {
  histogram->count++;
  histogram->sum += nanoseconds;
  if (nanoseconds > histogram->largest) histogram->largest = nanoseconds;
  histogram->buckets[bucket_of(nanoseconds)]++;
}

uint64_t histogram_percentile(const struct histogram *histogram, double share) {
  double exact = share * (double)histogram->count;
  uint64_t rank = (uint64_t)exact;
  if ((double)rank < exact || rank == 0) rank++;
  uint64_t seen = 0;
  for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
    seen += histogram->buckets[bucket];
    if (seen < rank) continue;
    uint64_t bound = largest_in_bucket(bucket);
    return bound < histogram->largest ? bound : histogram->largest;
  }
  return histogram->largest;
}

void histogram_print(const struct histogram *histogram, FILE *out) {
  double mean = histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count;
  fprintf(out,
          "{\"count\":%llu,\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f}",
          (unsigned long long)histogram->count, mean / 1e3,
          (double)histogram_percentile(histogram, 0.5) / 1e3,
          (double)histogram_percentile(histogram, 0.9) / 1e3,
          (double)histogram_percentile(histogram, 0.99) / 1e3,
          (double)histogram_percentile(histogram, 0.999) / 1e3, (double)histogram->largest / 1e3);
}
