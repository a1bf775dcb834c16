// `{{word}}(KEY, LEAST)`: nodes whose label KEY is a number of at least LEAST.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "swarmw.h"

#define HINT "try {{word}}(KEY, 4)"

void exports_plugin_describe(exports_plugin_metadata_t *ret) {
  swarmw_string_dup(&ret->name, "{{publisher}}/{{name}}");
  swarmw_string_dup(&ret->version, "0.1.0");
  swarmw_string_dup(&ret->summary, "{{summary}}");

  swarmw_claim_t *claim = calloc(1, sizeof *claim);
  claim->tag = SWARMW_CLAIM_CALL;
  swarmw_string_dup(&claim->val.call, "{{word}}");
  ret->claims = (swarmw_list_claim_t){claim, 1};

  swarmw_option_spec_t *absent = calloc(1, sizeof *absent);
  swarmw_string_dup(&absent->name, "absent");
  swarmw_string_dup(&absent->help, "whether nodes without the label pass");
  absent->ty.tag = SWARMW_OPTION_TYPE_BOOLEAN;
  absent->default_.is_some = true;
  swarmw_string_dup(&absent->default_.val, "false");
  ret->options = (swarmw_list_option_spec_t){absent, 1};

  ret->grants = (swarmw_list_grant_t){NULL, 0};
}

// An expression, read. Its texts lie in `copy`.
struct expression {
  char *copy;
  char *key;
  char *least;
};

// The text without blanks around it.
static char *trimmed(char *text) {
  text += strspn(text, " \t");
  size_t length = strlen(text);
  while (length > 0 && strchr(" \t", text[length - 1])) length -= 1;
  text[length] = '\0';
  return text;
}

// `{{word}}(KEY, LEAST)`, and nothing behind it. `copy` is the caller's to free, always.
static bool read_expression(const swarmw_string_t *text, struct expression *ret) {
  ret->copy = calloc(text->len + 1, 1);
  memcpy(ret->copy, text->ptr, text->len);
  if (strlen(ret->copy) != text->len) return false;
  char *call = trimmed(ret->copy);
  size_t length = strlen(call);
  const char *name = "{{word}}(";
  if (strncmp(call, name, strlen(name)) != 0 || call[length - 1] != ')') return false;
  call[length - 1] = '\0';
  char *comma = strchr(call, ',');
  if (comma == NULL) return false;
  *comma = '\0';
  ret->key = trimmed(call + strlen(name));
  ret->least = trimmed(comma + 1);
  return *ret->key != '\0' && *ret->least != '\0' && strpbrk(ret->key, "()") == NULL &&
         strpbrk(ret->least, ",()") == NULL;
}

static bool read_number(const char *text, double *ret) {
  char *end;
  *ret = strtod(text, &end);
  return *end == '\0' && isfinite(*ret);
}

// Refuses the service.
static bool refused(exports_constraint_list_problem_t *err, const char *code,
                    const char *format, const char *text) {
  exports_constraint_problem_t *problem = calloc(1, sizeof *problem);
  size_t size = strlen(format) + strlen(text) + 1;
  char *message = malloc(size);
  snprintf(message, size, format, text);
  swarmw_string_dup(&problem->code, code);
  swarmw_string_dup(&problem->message, message);
  problem->hint.is_some = true;
  swarmw_string_dup(&problem->hint.val, HINT);
  free(message);
  *err = (exports_constraint_list_problem_t){problem, 1};
  return false;
}

// Reads an expression: true with `ret`, or false with `err`.
bool exports_constraint_compile(swarmw_string_t *expression,
                                exports_constraint_list_option_entry_t *options,
                                exports_constraint_compiled_info_t *ret,
                                exports_constraint_list_problem_t *err) {
  struct expression read;
  double least;
  bool good = read_expression(expression, &read);
  if (!good) {
    refused(err, "bad-call", "'%s' is not of the form {{word}}(…)", read.copy);
  } else if (!read_number(read.least, &least)) {
    good = refused(err, "bad-number", "'%s' is no number", read.least);
  } else {
    char text[2][4200];
    snprintf(text[0], sizeof text[0], "node.labels.%s", read.key);
    snprintf(text[1], sizeof text[1], "node.labels.%s is below %s", read.key, read.least);
    exports_constraint_column_ref_t *column = calloc(1, sizeof *column);
    swarmw_string_dup(&column->name, text[0]);
    column->read_as = SWARMW_COLUMN_TYPE_NUMBER;
    ret->plan.tag = EXPORTS_CONSTRAINT_PLAN_ASK;
    ret->reads = (exports_constraint_list_column_ref_t){column, 1};
    swarmw_string_dup(&ret->reason, text[1]);
  }
  free(read.copy);
  swarmw_string_free(expression);
  exports_constraint_list_option_entry_free(options);
  return good;
}

// One verdict per row: a combination of values that nodes have, not a node.
void exports_constraint_test(swarmw_string_t *expression,
                             exports_constraint_list_option_entry_t *options,
                             exports_constraint_tuples_t *batch, swarmw_list_bool_t *ret) {
  struct expression read;
  double least = 0;
  // `compile` has read it before.
  if (read_expression(expression, &read)) read_number(read.least, &least);
  // There is one option, filled in by the host.
  bool absent = options->ptr[0].value.val.boolean;
  const swarmw_column_t *column = &batch->columns.ptr[0];
  *ret = (swarmw_list_bool_t){malloc(batch->rows), batch->rows};
  for (uint32_t row = 0; row < batch->rows; row += 1) {
    bool present = column->present.ptr[row];
    ret->ptr[row] = present ? column->cells.val.number.ptr[row] >= least : absent;
  }
  free(read.copy);
  swarmw_string_free(expression);
  exports_constraint_list_option_entry_free(options);
  exports_constraint_tuples_free(batch);
}
