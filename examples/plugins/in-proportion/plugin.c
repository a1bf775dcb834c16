// `--placement-pref in-proportion=node.labels.KEY`: tasks over the values of KEY in
// proportion to the memory that is free there, so that a zone of large nodes gets more.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swarmw.h"

void exports_plugin_describe(exports_plugin_metadata_t *ret) {
  swarmw_string_dup(&ret->name, "example/in-proportion");
  swarmw_string_dup(&ret->version, "0.1.0");
  swarmw_string_dup(&ret->summary, "Tasks in proportion to what is free");

  swarmw_claim_t *claim = calloc(1, sizeof *claim);
  claim->tag = SWARMW_CLAIM_NAME;
  swarmw_string_dup(&claim->val.name, "in-proportion");
  ret->claims = (swarmw_list_claim_t){claim, 1};

  const char *kinds[] = {"memory", "cpu"};
  swarmw_list_string_t choices = {calloc(2, sizeof *choices.ptr), 2};
  for (size_t at = 0; at < 2; at += 1) swarmw_string_dup(&choices.ptr[at], kinds[at]);
  swarmw_option_spec_t *of = calloc(1, sizeof *of);
  swarmw_string_dup(&of->name, "of");
  swarmw_string_dup(&of->help, "what is shared by: what is free of it");
  of->ty.tag = SWARMW_OPTION_TYPE_CHOICE;
  of->ty.val.choice = choices;
  of->default_.is_some = true;
  swarmw_string_dup(&of->default_.val, "memory");
  ret->options = (swarmw_list_option_spec_t){of, 1};

  ret->grants = (swarmw_list_grant_t){NULL, 0};
}

bool exports_preference_compile(swarmw_string_t *name, swarmw_string_t *argument,
                                exports_preference_list_option_entry_t *options,
                                exports_preference_compiled_info_t *ret,
                                exports_preference_list_problem_t *err) {
  const char *label = "node.labels.";
  bool good = argument->len > strlen(label) && memcmp(argument->ptr, label, strlen(label)) == 0;
  if (good) {
    // There is one option, filled in by the host.
    const swarmw_string_t *of = &options->ptr[0].value.val.text;
    char load[32];
    snprintf(load, sizeof load, "node.free.%.*s", (int)of->len, (const char *)of->ptr);
    *ret = (exports_preference_compiled_info_t){0};
    ret->bins.tag = EXPORTS_PREFERENCE_BINS_BY_COLUMN;
    swarmw_string_dup_n(&ret->bins.val.by_column, (const char *)argument->ptr, argument->len);
    ret->loads = (swarmw_list_string_t){calloc(1, sizeof *ret->loads.ptr), 1};
    swarmw_string_dup(ret->loads.ptr, load);
  } else {
    exports_preference_problem_t *problem = calloc(1, sizeof *problem);
    swarmw_string_dup(&problem->code, "bad-column");
    swarmw_string_dup(&problem->message, "tasks are shared out over the values of a label");
    problem->at.is_some = true;
    problem->at.val = (swarmw_span_t){0, (uint32_t)argument->len};
    problem->hint.is_some = true;
    swarmw_string_dup(&problem->hint.val, "try node.labels.zone");
    *err = (exports_preference_list_problem_t){problem, 1};
  }
  swarmw_string_free(name);
  swarmw_string_free(argument);
  exports_preference_list_option_entry_free(options);
  return good;
}

// Values of a column are bins as they are: nothing is asked.
void exports_preference_classify(swarmw_string_t *name, swarmw_string_t *argument,
                                 exports_preference_list_option_entry_t *options,
                                 exports_preference_tuples_t *batch,
                                 exports_preference_list_class_t *ret) {
  *ret = (exports_preference_list_class_t){calloc(batch->rows, sizeof *ret->ptr), batch->rows};
  swarmw_string_free(name);
  swarmw_string_free(argument);
  exports_preference_list_option_entry_free(options);
  exports_preference_tuples_free(batch);
}

// A service's part of the question: per bin what fits, what is free, what it is given.
struct share {
  size_t bins;
  const uint32_t *room;
  const double *free;
  uint32_t *given;
};

// The bin with room whose quotient of what is free and what it has is the largest: one
// task more is deserved most there. None: `share->bins`.
static size_t most_deserving(const struct share *share) {
  size_t best = share->bins;
  double largest = -1;
  for (size_t bin = 0; bin < share->bins; bin += 1) {
    if (share->given[bin] == share->room[bin]) continue;
    double quotient = share->free[bin] / ((double)share->given[bin] + 1);
    if (quotient > largest) {
      largest = quotient;
      best = bin;
    }
  }
  return best;
}

// Whole shares at once, then the remainders one by one, as seats are shared out after
// an election (D'Hondt). Bins that are full leave the rest to the others.
static void share_out(uint32_t tasks, const struct share *share) {
  double all = 0;
  for (size_t bin = 0; bin < share->bins; bin += 1) all += share->free[bin];
  uint32_t left = tasks;
  for (size_t bin = 0; bin < share->bins && all > 0; bin += 1) {
    double whole = (double)tasks * (share->free[bin] / all);
    uint32_t count = whole < share->room[bin] ? (uint32_t)whole : share->room[bin];
    share->given[bin] = count < left ? count : left;
    left -= share->given[bin];
  }
  // One round gives a bin what it lacks to the largest: so many rounds are enough for
  // remainders; more are needed only where a bin was full.
  while (left > 0) {
    size_t best = most_deserving(share);
    if (best == share->bins) return;
    uint32_t room = share->room[best] - share->given[best];
    uint32_t step = 1 + left / (uint32_t)(2 * share->bins);
    uint32_t count = step < room ? step : room;
    share->given[best] += count;
    left -= count;
  }
}

void exports_preference_allocate(swarmw_string_t *name, swarmw_string_t *argument,
                                 exports_preference_list_option_entry_t *options,
                                 exports_preference_questions_t *ask,
                                 exports_preference_allocation_t *ret) {
  size_t all = ask->room.len;
  ret->counts = (swarmw_list_u32_t){calloc(all, sizeof(uint32_t)), all};
  ret->refusals = (exports_preference_list_refusal_t){NULL, 0};
  for (size_t q = 0; q < ask->tasks.len; q += 1) {
    size_t from = ask->first.ptr[q];
    struct share share = {
        .bins = ask->first.ptr[q + 1] - from,
        .room = &ask->room.ptr[from],
        .free = &ask->extra.ptr[0].ptr[from],
        .given = &ret->counts.ptr[from],
    };
    share_out(ask->tasks.ptr[q], &share);
  }
  swarmw_string_free(name);
  swarmw_string_free(argument);
  exports_preference_list_option_entry_free(options);
  exports_preference_questions_free(ask);
}
