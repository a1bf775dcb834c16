// `--placement-pref {{name}}=node.labels.KEY`: as even as room allows over the values of
// KEY, but never more than `most` tasks of a service per value.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swarmw.h"

void exports_plugin_describe(exports_plugin_metadata_t *ret) {
  swarmw_string_dup(&ret->name, "{{publisher}}/{{name}}");
  swarmw_string_dup(&ret->version, "0.1.0");
  swarmw_string_dup(&ret->summary, "{{summary}}");

  swarmw_claim_t *claim = calloc(1, sizeof *claim);
  claim->tag = SWARMW_CLAIM_NAME;
  swarmw_string_dup(&claim->val.name, "{{name}}");
  ret->claims = (swarmw_list_claim_t){claim, 1};

  swarmw_option_spec_t *most = calloc(1, sizeof *most);
  swarmw_string_dup(&most->name, "most");
  swarmw_string_dup(&most->help, "the most tasks of a service per value");
  most->ty.tag = SWARMW_OPTION_TYPE_INTEGER;
  most->ty.val.integer = (swarmw_int_range_t){1, UINT32_MAX};
  most->default_.is_some = true;
  swarmw_string_dup(&most->default_.val, "1000");
  ret->options = (swarmw_list_option_spec_t){most, 1};

  ret->grants = (swarmw_list_grant_t){NULL, 0};
}

// Refuses the service.
static bool refused(exports_preference_list_problem_t *err, const swarmw_string_t *argument) {
  exports_preference_problem_t *problem = calloc(1, sizeof *problem);
  const char *format = "'%.*s' is no label of a node";
  size_t size = strlen(format) + argument->len + 1;
  char *message = malloc(size);
  snprintf(message, size, format, (int)argument->len, (const char *)argument->ptr);
  swarmw_string_dup(&problem->code, "bad-column");
  swarmw_string_dup(&problem->message, message);
  problem->hint.is_some = true;
  swarmw_string_dup(&problem->hint.val, "try node.labels.zone");
  free(message);
  *err = (exports_preference_list_problem_t){problem, 1};
  return false;
}

// Reads an argument: true with `ret`, or false with `err`.
bool exports_preference_compile(swarmw_string_t *name, swarmw_string_t *argument,
                                exports_preference_list_option_entry_t *options,
                                exports_preference_compiled_info_t *ret,
                                exports_preference_list_problem_t *err) {
  const char *label = "node.labels.";
  bool good = argument->len > strlen(label) && memcmp(argument->ptr, label, strlen(label)) == 0;
  if (good) {
    *ret = (exports_preference_compiled_info_t){0};
    ret->bins.tag = EXPORTS_PREFERENCE_BINS_BY_COLUMN;
    swarmw_string_dup_n(&ret->bins.val.by_column, (const char *)argument->ptr, argument->len);
  } else {
    refused(err, argument);
  }
  swarmw_string_free(name);
  swarmw_string_free(argument);
  exports_preference_list_option_entry_free(options);
  return good;
}

// Asked of bins by class alone, and of weights.
void exports_preference_classify(swarmw_string_t *name, swarmw_string_t *argument,
                                 exports_preference_list_option_entry_t *options,
                                 exports_preference_tuples_t *batch,
                                 exports_preference_list_class_t *ret) {
  ret->len = batch->rows;
  ret->ptr = calloc(ret->len, sizeof *ret->ptr);
  swarmw_string_free(name);
  swarmw_string_free(argument);
  exports_preference_list_option_entry_free(options);
  exports_preference_tuples_free(batch);
}

// A bin of one service: what it has, how many more may come, and how many do.
struct bin {
  uint64_t had;
  uint64_t fits;
  uint32_t *given;
};

// What fills a bin up to a height.
static uint64_t below(uint64_t height, const struct bin *bin) {
  uint64_t more = height > bin->had ? height - bin->had : 0;
  return more < bin->fits ? more : bin->fits;
}

// So many tasks to the bins that have the fewest, and how many are left over. All bins
// are filled to one height, which is found by halving, however many tasks there are.
static uint64_t level(uint64_t tasks, struct bin *bins, size_t count) {
  uint64_t low = 0, high = 0;
  for (size_t bin = 0; bin < count; bin += 1) {
    uint64_t top = bins[bin].had + bins[bin].fits;
    if (top > high) high = top;
  }
  while (low < high) {
    uint64_t height = (low + high + 1) / 2, cost = 0;
    for (size_t bin = 0; bin < count; bin += 1) cost += below(height, &bins[bin]);
    if (cost <= tasks) low = height;
    else high = height - 1;
  }
  for (size_t bin = 0; bin < count; bin += 1) {
    *bins[bin].given = (uint32_t)below(low, &bins[bin]);
    tasks -= *bins[bin].given;
  }
  // Not enough for one more each: the first ones get it.
  for (size_t bin = 0; bin < count && tasks > 0; bin += 1) {
    if (below(low + 1, &bins[bin]) > *bins[bin].given) {
      *bins[bin].given += 1;
      tasks -= 1;
    }
  }
  return tasks;
}

// All services that use the preference, in one call: service q has the bins from
// `first[q]` up to `first[q + 1]`.
void exports_preference_allocate(swarmw_string_t *name, swarmw_string_t *argument,
                                 exports_preference_list_option_entry_t *options,
                                 exports_preference_questions_t *ask,
                                 exports_preference_allocation_t *ret) {
  // There is one option, filled in by the host.
  uint64_t most = (uint64_t)options->ptr[0].value.val.integer;
  size_t all = ask->room.len;
  struct bin *bins = calloc(all, sizeof *bins);
  ret->counts = (swarmw_list_u32_t){calloc(all, sizeof(uint32_t)), all};
  ret->refusals.ptr = calloc(all, sizeof *ret->refusals.ptr);
  ret->refusals.len = 0;
  for (size_t bin = 0; bin < all; bin += 1) {
    uint64_t had = ask->service_tasks.ptr[bin], room = ask->room.ptr[bin];
    uint64_t more = most > had ? most - had : 0;
    bins[bin] = (struct bin){had, room < more ? room : more, &ret->counts.ptr[bin]};
  }
  char reason[64];
  snprintf(reason, sizeof reason, "%llu tasks of a service are the most", most);
  for (size_t q = 0; q < ask->tasks.len; q += 1) {
    size_t from = ask->first.ptr[q], to = ask->first.ptr[q + 1];
    uint64_t left = level(ask->tasks.ptr[q], &bins[from], to - from);
    for (size_t bin = from; bin < to && left > 0; bin += 1) {
      if (ret->counts.ptr[bin] == ask->room.ptr[bin]) continue;
      exports_preference_refusal_t *refusal = &ret->refusals.ptr[ret->refusals.len++];
      refusal->bin = (uint32_t)bin;
      swarmw_string_dup(&refusal->reason, reason);
    }
  }
  // A list of none is not freed after the call.
  if (ret->refusals.len == 0) free(ret->refusals.ptr);
  free(bins);
  swarmw_string_free(name);
  swarmw_string_free(argument);
  exports_preference_list_option_entry_free(options);
  exports_preference_questions_free(ask);
}
