// `--update-failure-action {{name}}`: a few targets first, the rest when those have run for
// a while; back to the old version when more tasks fail than allowed.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swarmw.h"

static void option(swarmw_option_spec_t *ret, const char *name, const char *help, uint8_t type,
                   int64_t min, const char *value) {
  *ret = (swarmw_option_spec_t){.ty.tag = type, .default_.is_some = true};
  swarmw_string_dup(&ret->name, name);
  swarmw_string_dup(&ret->help, help);
  swarmw_string_dup(&ret->default_.val, value);
  if (type == SWARMW_OPTION_TYPE_INTEGER) {
    ret->ty.val.integer = (swarmw_int_range_t){min, UINT32_MAX};
  }
}

void exports_plugin_describe(exports_plugin_metadata_t *ret) {
  swarmw_string_dup(&ret->name, "{{publisher}}/{{name}}");
  swarmw_string_dup(&ret->version, "0.1.0");
  swarmw_string_dup(&ret->summary, "{{summary}}");

  swarmw_claim_t *claim = calloc(1, sizeof *claim);
  claim->tag = SWARMW_CLAIM_NAME;
  swarmw_string_dup(&claim->val.name, "{{name}}");
  ret->claims = (swarmw_list_claim_t){claim, 1};

  swarmw_option_spec_t *options = calloc(3, sizeof *options);
  uint8_t count = SWARMW_OPTION_TYPE_INTEGER, time = SWARMW_OPTION_TYPE_DURATION;
  option(&options[0], "first", "targets to begin with", count, 1, "1");
  option(&options[1], "watch", "how long those must run", time, 0, "30s");
  option(&options[2], "failures", "tasks that may fail", count, 0, "0");
  ret->options = (swarmw_list_option_spec_t){options, 3};

  ret->grants = (swarmw_list_grant_t){NULL, 0};
}

// What is kept between two calls, replicated with each of them; its bytes as they are.
struct state {
  uint64_t since_ms;
  uint32_t failed;
  uint32_t phase;
};
enum { FIRST, REST };

static const swarmw_option_value_t *value(const exports_update_list_option_entry_t *options,
                                          const char *name) {
  for (size_t at = 0; at < options->len; at += 1) {
    const swarmw_string_t *found = &options->ptr[at].name;
    if (found->len == strlen(name) && memcmp(found->ptr, name, found->len) == 0) {
      return &options->ptr[at].value;
    }
  }
  abort();
}

static uint64_t number(const exports_update_list_option_entry_t *options, const char *name) {
  return (uint64_t)value(options, name)->val.integer;
}

// An outcome of at most so many actions.
#define ACTIONS_MAX 2

static void outcome(exports_update_outcome_t *ret, const struct state *state) {
  ret->state = (swarmw_list_u8_t){malloc(sizeof *state), sizeof *state};
  memcpy(ret->state.ptr, state, sizeof *state);
  ret->actions.ptr = calloc(ACTIONS_MAX, sizeof *ret->actions.ptr);
  ret->actions.len = 0;
}

static exports_update_action_t *action(exports_update_outcome_t *ret, uint8_t tag) {
  exports_update_action_t *next = &ret->actions.ptr[ret->actions.len++];
  next->tag = tag;
  return next;
}

static void replace_next(exports_update_outcome_t *ret, const exports_update_rollout_t *rollout,
                         uint64_t count) {
  const swarmw_string_t *order = &value(&rollout->policy.settings, "order")->val.text;
  bool start_first = order->len > 2 && memcmp(order->ptr, "sta", 3) == 0;
  exports_update_action_t *next = action(ret, EXPORTS_UPDATE_ACTION_REPLACE_NEXT);
  next->val.replace_next.count = (uint32_t)count;
  next->val.replace_next.order =
      start_first ? EXPORTS_UPDATE_ORDER_START_FIRST : EXPORTS_UPDATE_ORDER_STOP_FIRST;
}

// `err` refuses the service; the answer says what `begin` is told.
bool exports_update_check(exports_update_policy_t *policy, exports_update_needs_t *ret,
                          exports_update_list_problem_t *err) {
  *ret = (exports_update_needs_t){0};
  exports_update_policy_free(policy);
  return true;
}

bool exports_update_begin(exports_update_rollout_t *rollout,
                          exports_update_list_target_info_t *targets,
                          exports_update_view_t *view, exports_update_outcome_t *ret,
                          swarmw_string_t *err) {
  struct state state = {0};
  outcome(ret, &state);
  replace_next(ret, rollout, number(&rollout->policy.options, "first"));
  exports_update_rollout_free(rollout);
  exports_update_list_target_info_free(targets);
  exports_update_view_free(view);
  return true;
}

// What happened comes in, what to do goes out.
static void decide(const exports_update_rollout_t *rollout, struct state *state,
                   const exports_update_view_t *view, exports_update_outcome_t *ret) {
  const exports_update_list_option_entry_t *options = &rollout->policy.options;
  const exports_update_counts_t *counts = &view->counts;
  for (size_t task = 0; task < view->ended.len; task += 1) {
    // A drained node is nobody's failure.
    state->failed += !view->ended.ptr[task].ordered;
  }
  if (state->failed > number(options, "failures")) {
    char told[64];
    snprintf(told, sizeof told, "%u of the new tasks failed", (unsigned)state->failed);
    // A rollback that fails is left to the operator.
    uint8_t tag = rollout->rolling_back ? EXPORTS_UPDATE_ACTION_PAUSE
                                        : EXPORTS_UPDATE_ACTION_ROLLBACK_TO;
    exports_update_action_t *end = action(ret, tag);
    swarmw_string_dup(rollout->rolling_back ? &end->val.pause : &end->val.rollback_to.reason,
                      told);
    return;
  }
  uint64_t underway = (uint64_t)counts->replacing + counts->down;
  if (state->phase == FIRST && underway == 0) {
    if (state->since_ms == 0) state->since_ms = view->now_ms;
    uint64_t until = state->since_ms + number(options, "watch");
    if (view->now_ms < until) {
      swarmw_string_dup(&action(ret, EXPORTS_UPDATE_ACTION_REPORT)->val.report,
                        "watching the first tasks");
      action(ret, EXPORTS_UPDATE_ACTION_WAKE_AT)->val.wake_at = until;
      return;
    }
    state->phase = REST;
  }
  if (state->phase == REST) {
    uint64_t at_once = number(&rollout->policy.settings, "parallelism");
    if (at_once == 0) at_once = 1;
    uint64_t more = at_once > underway ? at_once - underway : 0;
    replace_next(ret, rollout, more < counts->outdated ? more : counts->outdated);
    if (counts->outdated + underway == 0) action(ret, EXPORTS_UPDATE_ACTION_COMPLETE);
  }
}

bool exports_update_step(exports_update_rollout_t *rollout, swarmw_list_u8_t *kept,
                         exports_update_view_t *view, exports_update_outcome_t *ret,
                         swarmw_string_t *err) {
  struct state state;
  bool good = kept->len == sizeof state;
  if (good) {
    memcpy(&state, kept->ptr, sizeof state);
    good = state.phase <= REST;
  }
  if (good) {
    outcome(ret, &state);
    decide(rollout, &state, view, ret);
    memcpy(ret->state.ptr, &state, sizeof state);
    if (ret->actions.len == 0) free(ret->actions.ptr);
  } else {
    swarmw_string_dup(err, "the state is not one of this plugin");
  }
  exports_update_rollout_free(rollout);
  swarmw_list_u8_free(kept);
  exports_update_view_free(view);
  return good;
}

// What another version of this plugin wrote.
bool exports_update_migrate(swarmw_string_t *writer, swarmw_list_u8_t *state,
                            swarmw_list_u8_t *ret, swarmw_string_t *err) {
  swarmw_string_dup(err, "the state of another version is not known");
  swarmw_string_free(writer);
  swarmw_list_u8_free(state);
  return false;
}
